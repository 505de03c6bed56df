package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.testing.Golden;
import io.minigpt4.testing.Golden.Json;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What Transformers generates from the tiny model, by the same model on the CPU. */
class GenerationGoldenTest {
  private static final int EOS = 2;
  private static final Map<String, Integer> IMAGES = Map.of("picture", 0, "photo", 1);

  /** The golden texts are random: nothing in them may end an answer but what a case says. */
  private static final ChatTemplate TEMPLATE =
      new ChatTemplate("", "\1human", "\1assistant", "\1end", "", "");

  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));

  private static final Map<String, Prompt> PROMPTS = new HashMap<>();

  private static CpuOps ops;
  private static Checkpoint checkpoint;
  private static Decoder decoder;
  private static Tensor imageRows;

  @BeforeAll
  static void load() {
    ops = CpuOps.createExact(2);
    Path folder = Golden.path("tiny/vicuna");
    checkpoint = Checkpoints.open(folder);
    decoder = Decoder.of(Llama.read(checkpoint, "", LlamaConfig.read(folder), ops));
    int rowsPerImage;
    try (Checkpoint golden = Checkpoints.open(Golden.path("model/image_path.safetensors"))) {
      Tensor picture = golden.tensor("picture/projected");
      rowsPerImage = (int) picture.rows();
      imageRows = ops.allocate(DType.F32, 2L * rowsPerImage, picture.width());
      for (Map.Entry<String, Integer> image : IMAGES.entrySet()) {
        long from = (long) image.getValue() * rowsPerImage;
        Tensor rows = golden.tensor(image.getKey() + "/projected");
        imageRows.slice(from, from + rowsPerImage).segment().copyFrom(rows.segment());
      }
    }
    for (Json one : Golden.json("generation/prompts.json").get("cases").list()) {
      IntArrayList ids = new IntArrayList();
      for (Json part : one.get("parts").list()) {
        if (part.has("ids")) {
          ids.addElements(ids.size(), part.get("ids").integers());
        } else {
          int image = Objects.requireNonNull(IMAGES.get(part.get("image").string()));
          for (int row = 0; row < rowsPerImage; row++) {
            ids.add(~(image * rowsPerImage + row));
          }
        }
      }
      PROMPTS.put(one.get("name").string(), Prompt.of(ids.toIntArray()));
    }
  }

  @AfterAll
  static void close() throws Exception {
    checkpoint.close();
    ops.close();
  }

  private static GenerationConfig config(Json one, int maxNewTokens) {
    List<IntList> stops = new ArrayList<>();
    for (Json stop : one.get("stops").list()) {
      stops.add(IntArrayList.wrap(stop.integers()));
    }
    return TestConfigs.of(one.get("options")).toBuilder()
        .maxNewTokens(maxNewTokens)
        .stopIds(stops)
        .build();
  }

  @Test
  void greedyTokensAreThoseOfTransformers() {
    Json golden = Golden.json("generation/greedy.json");
    for (Json one : golden.get("cases").list()) {
      GenerationConfig config =
          config(one, golden.get("max_new_tokens").integer()).toBuilder().temperature(0).build();
      Generation result = generate(one, config);
      assertThat(result.ids().toIntArray()).as("%s", one).isEqualTo(one.get("ids").integers());
      assertThat(result.finishReason().name()).isEqualToIgnoringCase(one.get("finish").string());
    }
  }

  /** One prompt is enough for what the generator adds to the search. */
  @Test
  void theBestBeamIsTheAnswer() {
    Json golden = Golden.json("generation/beams.json");
    for (Json one : golden.get("cases").list()) {
      if (!one.has("draws") && one.get("prompt").string().equals("image")) {
        Generation result = generate(one, config(one, golden.get("max_new_tokens").integer()));
        assertThat(result.ids().toIntArray())
            .as("%s", one)
            .isEqualTo(one.get("sequences").list().getFirst().integers());
      }
    }
  }

  private static Generation generate(Json one, GenerationConfig config) {
    Prompt prompt = Objects.requireNonNull(PROMPTS.get(one.get("prompt").string()));
    try (Generator generator =
            new Generator(decoder, TOKENIZER, TEMPLATE, Generator.DEFAULT_CONTEXT, EOS);
        Session session = generator.newSession()) {
      return generator.generate(session, prompt, imageRows, config, GenerationListener.NONE);
    }
  }

  @Test
  void allBeamsAndTheirScoresAreThoseOfTransformers() {
    Json golden = Golden.json("generation/beams.json");
    int maxNewTokens = golden.get("max_new_tokens").integer();
    for (Json one : golden.get("cases").list()) {
      List<BeamSearch.Hypothesis> found = search(one, config(one, maxNewTokens));
      List<int[]> sequences = found.stream().map(f -> f.ids().toIntArray()).toList();
      List<int[]> expected = one.get("sequences").list().stream().map(Json::integers).toList();
      assertThat(sequences.toArray(int[][]::new))
          .as("%s %s", one.get("prompt"), one.get("options"))
          .isDeepEqualTo(expected.toArray(int[][]::new));
      double[] scores = one.get("scores").numbers();
      for (int i = 0; i < scores.length; i++) {
        assertThat((double) found.get(i).score())
            .isCloseTo(scores[i], within(1e-4 * Math.max(1, Math.abs(scores[i]))));
      }
    }
  }

  private static List<BeamSearch.Hypothesis> search(Json one, GenerationConfig config) {
    int[] prompt = Objects.requireNonNull(PROMPTS.get(one.get("prompt").string())).ids();
    try (Arena arena = Arena.ofConfined();
        KvCache cache = decoder.newCache()) {
      int vocabulary = decoder.vocabularySize();
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) config.numBeams() * vocabulary);
      Batch batch = new Batch(1);
      batch.add(cache, prompt.length);
      decoder.forward(batch, prompt, imageRows, logits);
      List<Json> draws = one.has("draws") ? one.get("draws").list() : List.of();
      BeamSearch search =
          new BeamSearch(
              cache,
              vocabulary,
              2 * config.numBeams(),
              new LogitsProcessor(new LogitsProcessor.Scratch(vocabulary), config, EOS),
              config,
              new StopRule(TOKENIZER, TEMPLATE, config, EOS),
              new SplittableRandom(1)) {
            private int step;

            @Override
            List<Candidate> choose(int rows, int count) {
              if (draws.isEmpty()) {
                return super.choose(rows, count);
              }
              List<Candidate> drawn = new ArrayList<>();
              for (int index : draws.get(step++).integers()) {
                drawn.add(candidate(index));
              }
              return drawn;
            }
          };
      BeamSearch.Found found = Searches.run(search, decoder, logits);
      found.cache().close();
      return found.hypotheses();
    }
  }
}
