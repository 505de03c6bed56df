package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The built-in model says what it says in PyTorch. */
class DemoGoldenTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(120).build();

  private static CpuOps ops;
  private static MiniGpt4 model;
  private static ConfigNode golden;
  private static Picture picture;

  @BeforeAll
  static void open() {
    ops = CpuOps.createScalar(2);
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
    golden = JsonFile.read(Goldens.path("demo.json"));
    picture = Pictures.read(Goldens.documented(golden.get("image").asText()));
  }

  @AfterAll
  static void close() {
    model.close();
    ops.close();
  }

  @Test
  void imageRows() {
    float[] rows = model.encode(picture).toArray(ValueLayout.JAVA_FLOAT);
    ConfigNode expected = golden.get("image_rows");
    List<ConfigNode> first = expected.get("first_row").asList();
    for (int i = 0; i < first.size(); i++) {
      assertThat(rows[i]).isCloseTo(number(first.get(i)), within(1e-3f));
    }
    double squares = 0;
    for (float value : rows) {
      squares += (double) value * value;
    }
    assertThat((float) squares)
        .isCloseTo(number(expected.get("sum_of_squares")), within((float) (1e-4 * squares)));
  }

  @Test
  void dialogues() {
    ImageCache cache = new ImageCache(model, 1);
    for (ConfigNode dialogue : golden.get("dialogues").asList()) {
      try (ChatSession session = new ChatSession(model, cache)) {
        session.addImage(picture);
        for (ConfigNode turn : dialogue.asList()) {
          String question = turn.get("prompt").asText();
          Answer answer = session.ask(question, GREEDY, GenerationListener.NONE);
          assertThat(answer.generation().ids().toIntArray())
              .as(question)
              .isEqualTo(
                  turn.get("token_ids").asList().stream()
                      .mapToInt(id -> id.asInteger(0, Integer.MAX_VALUE))
                      .toArray());
          assertThat(answer.text()).as(question).isEqualTo(turn.get("text").asText());
        }
      }
    }
  }

  private static float number(ConfigNode node) {
    return (float) node.asNumber(-Double.MAX_VALUE, Double.MAX_VALUE);
  }
}
