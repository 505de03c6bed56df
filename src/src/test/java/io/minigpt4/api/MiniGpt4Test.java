package io.minigpt4.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.chat.ChatRequest;
import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.model.Goldens;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What other programs do with the built-in model. */
class MiniGpt4Test {
  private static final Path SCENE = Goldens.documented("scene.png");
  private static final Path HEARTS = Goldens.documented("hearts.png");

  /** Says its first word again and again, because of what the penalty rewards. */
  private static final GenerationConfig LONG =
      GenerationConfig.builder()
          .doSample(false)
          .maxNewTokens(900)
          .minNewTokens(900)
          .repetitionPenalty(0.01)
          .build();

  private static MiniGpt4 model;

  @BeforeAll
  static void open() {
    model = MiniGpt4.builder().threads(2).maxRunning(4).maxQueued(8).open();
  }

  @AfterAll
  static void close() {
    model.close();
  }

  @Test
  void aConversationRemembers() {
    Chat chat = model.chat().show(SCENE);
    StringBuilder pieces = new StringBuilder();
    String description = chat.ask("Describe this image in detail.", pieces::append);
    assertThat(description).contains("purple star", "orange heart");
    assertThat(pieces.toString()).isEqualTo(description);
    assertThat(chat.ask("How many stars are there?")).containsIgnoringCase("one");
    assertThat(chat.turns()).hasSize(4);
    assertThat(chat.turns().get(2).pictures()).isEmpty();
  }

  @Test
  void conversationsOfSeveralThreadsAreApart() throws Exception {
    Callable<String> scene = () -> model.chat().show(SCENE).ask("What is in the picture?");
    Callable<String> hearts = () -> model.chat().show(HEARTS).ask("What is in the picture?");
    String sceneAlone = scene.call();
    String heartsAlone = hearts.call();
    assertThat(sceneAlone).isNotEqualTo(heartsAlone);
    List<Future<String>> answers = new ArrayList<>();
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int i = 0; i < 8; i++) {
        answers.add(threads.submit(i % 2 == 0 ? scene : hearts));
      }
    }
    for (int i = 0; i < 8; i++) {
      assertThat(answers.get(i).get()).isEqualTo(i % 2 == 0 ? sceneAlone : heartsAlone);
    }
  }

  @Test
  void aReplyCanBeCancelled() {
    Reply reply = model.submit(ChatRequest.of(LONG, Turn.human("Go on")));
    Generation generation = reply.await(piece -> reply.cancel());
    assertThat(generation.finishReason()).isEqualTo(FinishReason.CANCELLED);
    assertThat(generation.ids().size()).isBetween(1, 899);
  }

  @Test
  void anInterruptEndsTheAnswerAsItIs() throws Exception {
    List<Object> outcome = new ArrayList<>();
    Thread asker =
        new Thread(
            () -> {
              Chat chat = model.chat().configure(LONG);
              Thread self = Thread.currentThread();
              outcome.add(chat.ask("Go on", piece -> self.interrupt()));
              outcome.add(Thread.interrupted());
              outcome.add(chat.turns().size());
            });
    asker.start();
    asker.join();
    assertThat((String) outcome.get(0)).isNotEmpty();
    assertThat(outcome.subList(1, 3)).containsExactly(true, 2);
  }

  @Test
  void aListenerThatThrowsTakesItsQuestionBack() throws Exception {
    Chat chat = model.chat().show(SCENE).configure(LONG);
    assertThatThrownBy(
            () ->
                chat.ask(
                    "Go on",
                    piece -> {
                      throw new IllegalStateException("broken");
                    }))
        .hasMessage("broken");
    assertThat(chat.turns()).isEmpty();
    while (model.status().running() > 0) {
      Thread.sleep(5); // its answer ends at the next token
    }
    chat.configure(model.defaults());
    assertThat(chat.ask("Is there a star?")).containsIgnoringCase("yes");
  }

  @Test
  void mistakesAreSaidInOneLine() {
    Chat chat = model.chat();
    assertThatThrownBy(() -> chat.ask(" ")).isInstanceOf(UserException.class);
    assertThatThrownBy(() -> chat.show(Path.of("none.png")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("no such file");
    assertThatThrownBy(() -> MiniGpt4.load(Path.of("nowhere")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("nowhere is not a folder");
    assertThatThrownBy(() -> MiniGpt4.builder().weightsBits(3)).isInstanceOf(UserException.class);
    assertThatThrownBy(() -> MiniGpt4.builder().threads(0)).isInstanceOf(UserException.class);
  }

  @Test
  void closingEndsAnswersAndRefusesMore() {
    MiniGpt4 other = MiniGpt4.demo();
    Reply reply = other.submit(ChatRequest.of(LONG, Turn.human("Go on")));
    other.close();
    other.close();
    assertThat(reply.await().finishReason()).isEqualTo(FinishReason.CANCELLED);
    assertThatThrownBy(() -> other.chat().ask("Hello")).isInstanceOf(IllegalStateException.class);
  }
}
