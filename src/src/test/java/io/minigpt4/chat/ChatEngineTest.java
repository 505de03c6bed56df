package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.UserException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Requests and their ends, with the built-in model. */
class ChatEngineTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(40).build();

  /** Says its first word again and again, because of what the penalty rewards. */
  private static final GenerationConfig LONG =
      GREEDY.toBuilder().maxNewTokens(900).minNewTokens(900).repetitionPenalty(0.01).build();

  private static CpuOps ops;
  private static MiniGpt4 model;
  private static Picture scene;
  private static Picture hearts;

  @BeforeAll
  static void open() {
    ops = CpuOps.createScalar(2);
    model = new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
    scene = Pictures.read(Goldens.documented("scene.png"));
    hearts = Pictures.read(Goldens.documented("hearts.png"));
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
          new ChatRequest(null, List.of(Turn.human("Go on.")), LONG, 0, Duration.ofMillis(10));
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
  void aPlaceIsFreeBeforeItsAnswersEndIsTold() {
    try (ChatEngine engine = engine(1, 0)) {
      Recorder next = new Recorder();
      Recorder first =
          new Recorder() {
            @Override
            public void finished(Generation generation) {
              engine.submit(ChatRequest.of(GREEDY, Turn.human("And now?")), next);
              super.finished(generation);
            }
          };
      engine.submit(ChatRequest.of(GREEDY, Turn.human("Hello")), first);
      assertThat(first.await().text()).isNotEmpty();
      assertThat(next.await().text()).isNotEmpty();
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

  private static ChatRequest request(Random random) {
    List<Turn> turns = new ArrayList<>();
    String[] questions = {
      "What is in the picture?", "How many circles are there?", "Describe it.", "Is it red?", "Why?"
    };
    Picture picture = random.nextBoolean() ? scene : hearts;
    turns.add(Turn.human(questions[random.nextInt(5)], picture));
    if (random.nextInt(3) == 0) {
      turns.add(Turn.assistant("There is a blue circle."));
      turns.add(Turn.human(questions[random.nextInt(5)]));
    }
    GenerationConfig.Builder config =
        GenerationConfig.builder().maxNewTokens(4 + random.nextInt(20)).seed(random.nextLong());
    switch (random.nextInt(4)) {
      case 0 -> config.numBeams(2 + random.nextInt(3)).doSample(false);
      case 1 -> config.temperature(1.5).topP(1);
      default -> config.temperature(0);
    }
    String system = random.nextInt(5) == 0 ? "Be brief." : null;
    return new ChatRequest(system, turns, config.build(), 0, null);
  }

  @Test
  void manyAtOnceAreAnsweredAsEachAlone() {
    Random random = new Random(4);
    List<ChatRequest> requests = new ArrayList<>();
    for (int i = 0; i < 14; i++) {
      requests.add(request(random));
    }
    List<Recorder> recorders = new ArrayList<>();
    // so few pages that prompts are forgotten, and answers wait for others to end
    EngineLimits limits = new EngineLimits(9, 100, 400, 1600, 24, 2);
    try (ChatEngine engine = ChatEngine.start(model, limits)) {
      List<Recorder> given = new ArrayList<>();
      for (ChatRequest request : requests) {
        recorders.add(new Recorder());
        engine.submit(request, recorders.getLast());
        if (random.nextInt(3) == 0) {
          given.add(new Recorder());
          ChatHandle handle = engine.submit(request(random), given.getLast());
          if (random.nextBoolean()) {
            given.getLast().awaitStart();
          }
          handle.cancel();
        }
      }
      recorders.forEach(Recorder::await);
      given.forEach(Recorder::await);
      assertThat(engine.status().answersFinished()).isEqualTo(recorders.size() + given.size());
      assertThat(engine.status().promptTokensCached()).isGreaterThan(300);
      assertThat(engine.status().kvTokensUsed()).isLessThanOrEqualTo(1600);
    }
    assertThat(model.llama().pool().usedPages()).isZero();
    try (ChatEngine engine = engine(4, 1)) {
      for (int i = 0; i < requests.size(); i++) {
        Generation alone = ask(engine, requests.get(i));
        assertThat(recorders.get(i).await().ids().toIntArray())
            .as("%s", requests.get(i))
            .isEqualTo(alone.ids().toIntArray());
      }
    }
  }

  @Test
  void severalAnswersToOneRequestShareItsPrompt() {
    GenerationConfig config =
        GenerationConfig.builder().temperature(1.5).maxNewTokens(12).seed(7).build();
    Turn question = Turn.human("What is in the picture?", scene);
    List<Recorder> choices = List.of(new Recorder(), new Recorder(), new Recorder());
    try (ChatEngine engine = engine(4, 0)) {
      engine.submit(ChatRequest.of(config, question), choices);
      int prompt = choices.getFirst().await().timings().promptTokens();
      EngineStatus status = engine.status();
      for (int i = 0; i < 3; i++) {
        assertThat(choices.get(i).await().timings().cachedTokens())
            .isEqualTo(i == 0 ? 0 : prompt - 2);
        GenerationConfig own = config.toBuilder().seed(7 + i).build();
        Generation alone = ask(engine, ChatRequest.of(own, question));
        assertThat(alone.ids().toIntArray()).isEqualTo(choices.get(i).await().ids().toIntArray());
      }
      assertThat(status.imagesEncoded()).isEqualTo(1);
      assertThat(engine.status().imagesEncoded()).isEqualTo(1);
      assertThatThrownBy(
              () ->
                  engine.submit(
                      ChatRequest.of(config, question),
                      Stream.generate(Recorder::new).limit(5).toList()))
          .as("coming back later would not help")
          .isInstanceOf(UserException.class)
          .hasMessageContaining("5 answers");
    }
  }

  @Test
  void earlierTurnsAreNotComputedAgain() {
    try (ChatEngine engine = engine(2, 2)) {
      Turn first = Turn.human("What is in the picture?", scene);
      Generation one = ask(engine, ChatRequest.of(GREEDY, first));
      Turn answer = Turn.assistant(one.text());
      Generation two = ask(engine, ChatRequest.of(GREEDY, first, answer, Turn.human("How many?")));
      int before = one.timings().promptTokens();
      assertThat(two.timings().cachedTokens()).isBetween(before - 2, before);
      Generation other = ask(engine, ChatRequest.of(GREEDY, Turn.human("Is it red?", hearts)));
      assertThat(other.timings().cachedTokens()).as("the system text").isGreaterThan(30);
      assertThat(engine.status().imagesEncoded()).isEqualTo(2);
      assertThat(engine.status().imagesCached()).isEqualTo(1);
    }
  }

  @Test
  void aListenerThatThrowsEndsItsOwnAnswerOnly() {
    try (ChatEngine engine = engine(2, 4)) {
      Recorder onToken =
          new Recorder() {
            @Override
            public void token(int id, @Nullable TokenScores scores) {
              throw new IllegalStateException("broken in token");
            }
          };
      Recorder onStart =
          new Recorder() {
            @Override
            public void started(int promptTokens, int cachedTokens) {
              throw new IllegalStateException("broken in started");
            }
          };
      ChatRequest request = ChatRequest.of(GREEDY, Turn.human("Hello", scene));
      engine.submit(request, onToken);
      engine.submit(request, onStart);
      Recorder whole = new Recorder();
      engine.submit(request, whole);
      assertThatThrownBy(onToken::await).hasMessage("broken in token");
      assertThatThrownBy(onStart::await).hasMessage("broken in started");
      assertThat(whole.await().text()).isNotEmpty();
      assertThat(engine.status().answersFailed()).isEqualTo(2);
    }
    assertThat(model.llama().pool().usedPages()).isZero();
  }

  @Test
  void scoresCanBeAskedFor() {
    try (ChatEngine engine = engine(1, 0)) {
      Recorder recorder = new Recorder();
      List<Turn> turns = List.of(Turn.human("What is in the picture?", scene));
      engine.submit(new ChatRequest(null, turns, GREEDY, 3, null), recorder);
      Generation generation = recorder.await();
      assertThat(recorder.scores).hasSize(generation.ids().size());
      for (int i = 0; i < recorder.scores.size(); i++) {
        TokenScores scores = recorder.scores.get(i);
        assertThat(scores.top()).hasSize(3);
        assertThat(scores.top().getFirst().id()).isEqualTo(generation.ids().getInt(i));
        assertThat(scores.top().getFirst().logProbability()).isEqualTo(scores.logProbability());
      }
      GenerationConfig beams = GREEDY.toBuilder().numBeams(2).build();
      assertThatThrownBy(() -> new ChatRequest(null, turns, beams, 3, null))
          .isInstanceOf(UserException.class);
    }
  }

  @Test
  void closingEndsEverything() {
    List<Recorder> recorders = new ArrayList<>();
    try (ChatEngine engine = engine(2, 9)) {
      for (int i = 0; i < 6; i++) {
        recorders.add(new Recorder());
        engine.submit(ChatRequest.of(LONG, Turn.human("Go on.")), recorders.getLast());
      }
      recorders.getFirst().begun.join();
    }
    for (Recorder recorder : recorders) {
      assertThat(recorder.await().finishReason()).isEqualTo(FinishReason.CANCELLED);
    }
    assertThat(model.llama().pool().usedPages()).isZero();
  }

  @Test
  void closingEndsBeams() throws InterruptedException {
    GenerationConfig beams =
        LONG.toBuilder().maxNewTokens(300).minNewTokens(300).numBeams(4).build();
    Recorder recorder = new Recorder();
    try (ChatEngine engine = engine(4, 0)) {
      engine.submit(ChatRequest.of(beams, Turn.human("Go on.")), recorder);
      recorder.awaitStart();
      Thread.sleep(50); // so that there are beams
    }
    recorder.await();
    assertThat(model.llama().pool().usedPages()).isZero();
  }

  @Test
  void beamsAreDrawnAsASessionDrawsThem() {
    GenerationConfig beams =
        GREEDY.toBuilder().temperature(20).topP(1).topK(0).numBeams(3).maxNewTokens(12).build();
    try (ChatEngine engine = engine(3, 0);
        ChatSession session = new ChatSession(model, new ImageCache(model, 1))) {
      for (int seed = 0; seed < 8; seed++) {
        GenerationConfig config = beams.toBuilder().seed(seed).build();
        Generation expected = session.ask("Hello", config, GenerationListener.NONE).generation();
        Generation drawn = ask(engine, ChatRequest.of(config, Turn.human("Hello")));
        assertThat(drawn.ids().toIntArray()).isEqualTo(expected.ids().toIntArray());
        session.reset();
      }
    }
  }

  @Test
  void twoThousandRequestsLeaveNothingBehind() throws InterruptedException {
    GenerationConfig few = GREEDY.toBuilder().maxNewTokens(2).build();
    Semaphore places = new Semaphore(24);
    try (MiniGpt4 tiny = tiny();
        ChatEngine engine = ChatEngine.start(tiny, EngineLimits.of(tiny, 16, 16))) {
      long pages = 0;
      long heap = 0;
      for (int i = 0; i < 2000; i++) {
        places.acquire();
        Turn turn = Turn.human("Question " + i % 700 + "?", i % 2 == 0 ? scene : hearts);
        engine.submit(
            ChatRequest.of(few, turn),
            new Recorder() {
              @Override
              public void finished(Generation generation) {
                places.release();
              }
            });
        if (i == 1000) {
          pages = tiny.llama().pool().allocatedBytes();
          heap = usedHeap();
        }
      }
      places.acquire(24);
      assertThat(engine.status().answersFinished()).isEqualTo(2000);
      assertThat(tiny.llama().pool().allocatedBytes()).isEqualTo(pages);
      assertThat(usedHeap() - heap).as("heap in bytes").isLessThan(4 << 20);
    }
  }

  private static MiniGpt4 tiny() {
    return new ModelLoader(ops, LoadListener.NONE)
        .load(
            new ModelSource.Published(
                Goldens.path("tiny/eva_vit_g.pth"),
                Goldens.path("tiny/blip2_pretrained_flant5xxl.pth"),
                Goldens.path("tiny/vicuna"),
                Goldens.path("tiny/pretrained_minigpt4.pth"),
                null,
                null),
            null);
  }

  private static long usedHeap() {
    System.gc();
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }
}
