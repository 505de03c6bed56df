package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.chat.ChatSession;
import io.minigpt4.chat.ImageCache;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jline.terminal.Terminal;
import org.jline.terminal.impl.DumbTerminal;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A conversation at a terminal that only passes lines on, with the demo model. */
class InteractiveChatTest {
  private static final Path SCENE = Goldens.documented("scene.png");
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(12).build();

  private static CpuOps ops;
  private static MiniGpt4 model;

  @TempDir private Path folder;

  private final ByteArrayOutputStream screen = new ByteArrayOutputStream();

  @BeforeAll
  static void load() {
    ops = CpuOps.createScalar(2);
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
  }

  @AfterAll
  static void close() {
    model.close();
    ops.close();
  }

  private Terminal terminal(String... typed) throws IOException {
    byte[] bytes = (String.join("\n", typed) + "\n").getBytes(StandardCharsets.UTF_8);
    return new DumbTerminal(new ByteArrayInputStream(bytes), screen);
  }

  /**
   * Talks until the typed lines end.
   *
   * @param stopped asked by the generation, after the chat itself
   */
  private String talk(InteractiveChat chat, BooleanSupplier stopped) {
    try (ChatSession session = new ChatSession(model, new ImageCache(model, 1))) {
      Sink sink = new Sink(chat.terminal().writer(), true);
      TurnPrinter printer =
          new TurnPrinter(
              sink,
              new Sink(sink.writer(), false),
              false,
              () -> chat.stopped() || stopped.getAsBoolean());
      ChatSettings settings = new ChatSettings(GREEDY);
      PictureOptions pictures = PictureOptions.DEFAULT;
      Supplier<MiniGpt4> none =
          () -> {
            throw new IllegalStateException("nothing failed");
          };
      chat.run(new ChatLoop(session, settings, printer, pictures, sink.writer(), true, none));
    }
    return screen.toString(StandardCharsets.UTF_8);
  }

  @Test
  void aMistakeIsToldAndTheChatGoesOn() throws IOException {
    String[] typed = {
      "What is this?", "/image nowhere.png", "/imgae x", "/image " + SCENE, "What is this?"
    };
    try (InteractiveChat chat = new InteractiveChat(terminal(typed), null)) {
      assertThat(talk(chat, () -> false))
          .containsSubsequence(
              "no picture to talk about",
              "nowhere.png: no such file",
              "did you mean /image?",
              "448×448 pixels",
              "I can see");
    }
  }

  @Test
  void ctrlCStopsTheAnswerOnly() throws IOException {
    String[] typed = {"/image " + SCENE, "Describe it.", "/set max-new-tokens 3", "What is this?"};
    try (InteractiveChat chat = new InteractiveChat(terminal(typed), null)) {
      int[] polls = {0};
      BooleanSupplier pressedOnce =
          () -> {
            if (++polls[0] == 4) {
              chat.terminal().raise(Terminal.Signal.INT);
            }
            return false;
          };
      String seen = talk(chat, pressedOnce);
      assertThat(polls[0]).isGreaterThan(4);
      assertThat(seen).contains("I can see").doesNotContain("right corner");
    }
  }

  @Test
  void whatWasTypedIsKeptForTheNextTime() throws IOException {
    Path history = folder.resolve("history");
    try (InteractiveChat chat = new InteractiveChat(terminal("/help", "/set"), history)) {
      talk(chat, () -> false);
    }
    assertThat(history).content().contains("/help").contains("/set");
  }

  @Test
  void aDamagedHistoryIsLeftAlone() throws IOException {
    byte[] damaged = {(byte) 0xff, (byte) 0xfe, 'x', '\n'};
    Path history = Files.write(folder.resolve("history"), damaged);
    try (InteractiveChat chat = new InteractiveChat(terminal("/help"), history)) {
      assertThat(talk(chat, () -> false)).contains("cannot be read").contains("/image FILE");
    }
    assertThat(history).hasBinaryContent(damaged);
  }
}
