package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.UserException;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Requests and their ends, with the built-in model. */
class ChatEngineTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(40).build();

  /** Goes on until it is stopped. */
  private static final GenerationConfig LONG =
      GREEDY.toBuilder().maxNewTokens(900).minNewTokens(900).repetitionPenalty(50).build();

  private static CpuOps ops;
  private static MiniGpt4 model;
  private static Picture scene;

  @BeforeAll
  static void open() {
    ops = CpuOps.createScalar(2);
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
    scene = Pictures.read(Goldens.documented("scene.png"));
  }

  @AfterAll
  static void close() {
    model.close();
    ops.close();
  }

  private static ChatEngine engine(int running, int queued) {
    return ChatEngine.start(model, EngineLimits.of(model, running, queued));
  }

  private static Generation ask(ChatEngine engine, ChatRequest request) {
    Recorder recorder = new Recorder();
    engine.submit(request, recorder);
    Generation generation = recorder.await();
    assertThat(recorder.text.toString()).isEqualTo(generation.text());
    return generation;
  }

  @Test
  void answersAsASessionDoes() {
    Turn first = Turn.human("What is in the picture?", scene);
    List<Generation> expected;
    try (ChatSession session = new ChatSession(model, new ImageCache(model, 1))) {
      session.addImage(scene);
      Generation one = session.ask(first.text(), GREEDY, GenerationListener.NONE).generation();
      Generation two = session.ask("How many?", GREEDY, GenerationListener.NONE).generation();
      expected = List.of(one, two);
    }
    try (ChatEngine engine = engine(2, 2)) {
      Generation one = ask(engine, ChatRequest.of(GREEDY, first));
      assertThat(one.ids().toIntArray()).isEqualTo(expected.get(0).ids().toIntArray());
      Turn answer = Turn.assistant(one.text());
      Generation two = ask(engine, ChatRequest.of(GREEDY, first, answer, Turn.human("How many?")));
      assertThat(two.ids().toIntArray()).isEqualTo(expected.get(1).ids().toIntArray());
      assertThat(engine.status().tokensGenerated()).isEqualTo(one.ids().size() + two.ids().size());
    }
  }

  @Test
  void cancellingAndDeadlinesEndAnAnswer() {
    try (ChatEngine engine = engine(1, 2)) {
      Recorder cancelled = new Recorder();
      ChatHandle handle = engine.submit(ChatRequest.of(LONG, Turn.human("Go on.")), cancelled);
      cancelled.begun.join();
      handle.cancel();
      assertThat(cancelled.await().finishReason()).isEqualTo(FinishReason.CANCELLED);
      Recorder late = new Recorder();
      ChatRequest hurried =
          new ChatRequest(null, List.of(Turn.human("Go on.")), LONG, 0, Duration.ofMillis(200));
      engine.submit(hurried, late);
      assertThat(late.await().finishReason()).isEqualTo(FinishReason.DEADLINE);
    }
  }

  @Test
  void aFullQueueIsSaidAtOnce() {
    try (ChatEngine engine = engine(1, 1)) {
      Recorder running = new Recorder();
      ChatHandle first = engine.submit(ChatRequest.of(LONG, Turn.human("Go on.")), running);
      running.begun.join();
      Recorder waiting = new Recorder();
      engine.submit(ChatRequest.of(GREEDY, Turn.human("Hello")), waiting);
      assertThatThrownBy(
              () -> engine.submit(ChatRequest.of(GREEDY, Turn.human("Hi")), new Recorder()))
          .isInstanceOfSatisfying(
              QueueFullException.class,
              e -> assertThat(e.retryAfterSeconds()).isGreaterThanOrEqualTo(1));
      first.cancel();
      assertThat(waiting.await().text()).isNotEmpty();
    }
  }

  @Test
  void whatCannotBeAnsweredIsRefused() {
    try (ChatEngine engine = engine(1, 1)) {
      Turn endless = Turn.human("many words ".repeat(3000));
      assertThatThrownBy(() -> engine.submit(ChatRequest.of(GREEDY, endless), new Recorder()))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("context");
    }
    assertThatThrownBy(() -> ChatRequest.of(GREEDY, Turn.assistant("Yes.")))
        .isInstanceOf(UserException.class);
    assertThatThrownBy(() -> Turn.human(" ")).isInstanceOf(UserException.class);
  }
}
