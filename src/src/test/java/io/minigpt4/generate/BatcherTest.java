package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.Llama;
import io.minigpt4.tensor.DType;
import io.minigpt4.testing.Golden;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Generations in company: what comes out is what comes out of each alone. */
class BatcherTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));
  private static final int VOCABULARY = TOKENIZER.size();
  private static final int EOS = TOKENIZER.eosId();
  private static final LlamaConfig TINY =
      new LlamaConfig(VOCABULARY, 48, 88, 2, 4, 2, 2048, 1e-6f, 10000, 1, false, 1, 2);
  private static final int ROWS = 12;

  /** What is asked for, and when it is given up. */
  private record Wish(Prompt prompt, GenerationConfig config, int cancelAfter) {}

  private static Wish wish(Random random) {
    int rows = random.nextInt(4) == 0 ? 1 + random.nextInt(5) : 1 + random.nextInt(200);
    // A common beginning for some, so that they would mix if they could.
    int[] ids = new int[rows];
    boolean shared = random.nextBoolean();
    for (int i = 0; i < rows; i++) {
      ids[i] = shared && i < 70 ? 5 + i : 3 + random.nextInt(VOCABULARY - 3);
    }
    GenerationConfig.Builder config =
        GenerationConfig.builder().maxNewTokens(1 + random.nextInt(24)).seed(random.nextLong());
    switch (random.nextInt(4)) {
      case 0 -> config.numBeams(2 + random.nextInt(3)).doSample(random.nextBoolean());
      case 1 -> config.temperature(0.8).repetitionPenalty(1.2);
      default -> config.temperature(0);
    }
    int cancelAfter = random.nextInt(5) == 0 ? random.nextInt(10) : Integer.MAX_VALUE;
    return new Wish(Prompt.of(ids), config.build(), cancelAfter);
  }

  private static GenerationListener listener(Wish wish) {
    return new GenerationListener() {
      private int tokens;

      @Override
      public void onToken(int id, @Nullable TokenScores scores) {
        tokens++;
      }

      @Override
      public boolean isCancelled() {
        return tokens > wish.cancelAfter;
      }
    };
  }

  private static Generator generator(Llama llama) {
    return new Generator(Decoder.of(llama), TOKENIZER, ChatTemplate.VICUNA_V0, 300, EOS);
  }

  private static Generation alone(Llama llama, Wish wish) {
    try (Generator generator = generator(llama);
        Session session = generator.newSession()) {
      return generator.generate(session, wish.prompt, null, wish.config, listener(wish));
    }
  }

  @ParameterizedTest
  @CsvSource({"F32, true", "F16, true", "BF16, true", "F32, false", "F16, false", "BF16, false"})
  void answersAreTheSameInAnyCompany(DType dtype, boolean scalar) {
    try (CpuOps ops = scalar ? CpuOps.createScalar(2) : CpuOps.create(2)) {
      Llama llama = Llama.random(TINY, dtype, 3, ops);
      Random random = new Random(dtype.bytes());
      List<Wish> wishes = new ArrayList<>();
      for (int i = 0; i < 60; i++) {
        wishes.add(wish(random));
      }
      List<Generation> together = together(llama, wishes, random);
      for (int i = 0; i < wishes.size(); i++) {
        Generation expected = alone(llama, wishes.get(i));
        Generation actual = together.get(i);
        assertThat(actual.ids().toIntArray())
            .as("%s", wishes.get(i))
            .isEqualTo(expected.ids().toIntArray());
        assertThat(actual.text()).isEqualTo(expected.text());
        assertThat(actual.finishReason()).isEqualTo(expected.finishReason());
      }
      assertThat(llama.pool().usedPages()).isZero();
    }
  }

  /** All of them, arriving at random, beginnings of prompts shared by chance. */
  private static List<Generation> together(Llama llama, List<Wish> wishes, Random random) {
    List<GenerationTask> tasks = new ArrayList<>();
    List<Session> sessions = new ArrayList<>();
    Deque<Wish> waiting = new ArrayDeque<>(wishes);
    Decoder decoder = Decoder.of(llama);
    try (Generator generator = generator(llama);
        PrefixCache prefixes = new PrefixCache();
        Batcher batcher = new Batcher(decoder, ROWS, 2 + random.nextInt(60))) {
      int shared = 0;
      while (!waiting.isEmpty() || tasks.stream().anyMatch(task -> !task.isDone())) {
        while (!waiting.isEmpty()
            && waiting.element().config.numBeams() <= batcher.freeRows()
            && random.nextInt(3) > 0) {
          Wish wish = waiting.remove();
          Session session = prefixes.begin(decoder, wish.prompt);
          sessions.add(session);
          tasks.add(generator.task(session, wish.prompt, wish.config, 0, listener(wish)));
          shared += tasks.getLast().cachedTokens();
          batcher.add(tasks.getLast());
        }
        batcher.step(null);
        for (int i = 0; i < tasks.size(); i++) {
          GenerationTask task = tasks.get(i);
          if (task.promptRowsLeft() == 0 && !task.isDone() && random.nextInt(9) == 0) {
            prefixes.add(sessions.get(i).fork(task.promptTokens()));
          }
        }
      }
      assertThat(shared).as("rows taken from earlier prompts").isGreaterThan(300);
      sessions.forEach(Session::close);
      return tasks.stream().map(GenerationTask::result).toList();
    }
  }

  @Test
  void aLongPromptDoesNotStopTheOthers() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, ToyDecoder.random(VOCABULARY, 3));
    GenerationConfig config =
        GenerationConfig.builder().temperature(0).minNewTokens(50).maxNewTokens(50).build();
    int[] tokens = {0};
    GenerationListener counter =
        new GenerationListener() {
          @Override
          public void onToken(int id, @Nullable TokenScores scores) {
            tokens[0]++;
          }
        };
    try (Generator generator =
            new Generator(decoder, TOKENIZER, ChatTemplate.VICUNA_V0, 2000, EOS);
        Batcher batcher = new Batcher(decoder, 2, 32);
        Session one = generator.newSession();
        Session two = generator.newSession()) {
      batcher.add(generator.task(one, Prompt.of(5, 6, 7), config, 0, counter));
      batcher.step(null);
      GenerationTask late =
          generator.task(two, Prompt.of(new int[320]), config, 0, GenerationListener.NONE);
      batcher.add(late);
      int before = tokens[0];
      for (int round = 1; round <= 10; round++) {
        batcher.step(null);
        assertThat(tokens[0]).isEqualTo(before + round);
        assertThat(late.promptRowsLeft()).isEqualTo(320 - 32 * round);
      }
    }
  }

  @Test
  void whatAListenerThrowsEndsItsOwnGeneration() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, ToyDecoder.random(VOCABULARY, 3));
    GenerationConfig config =
        GenerationConfig.builder().temperature(0).minNewTokens(9).maxNewTokens(9).build();
    GenerationListener broken =
        new GenerationListener() {
          @Override
          public void onToken(int id, @Nullable TokenScores scores) {
            throw new IllegalStateException("broken");
          }
        };
    try (Generator generator = new Generator(decoder, TOKENIZER, ChatTemplate.VICUNA_V0, 99, EOS);
        Batcher batcher = new Batcher(decoder, 2, 32);
        Session one = generator.newSession();
        Session two = generator.newSession()) {
      GenerationTask bad = generator.task(one, Prompt.of(5, 6, 7), config, 0, broken);
      GenerationTask good =
          generator.task(two, Prompt.of(5, 6, 7), config, 0, GenerationListener.NONE);
      batcher.add(bad);
      batcher.add(good);
      assertThat(batcher.freeRows()).isZero();
      assertThatThrownBy(() -> batcher.add(good)).isInstanceOf(IllegalStateException.class);
      batcher.step(null);
      assertThat(batcher.freeRows()).isEqualTo(1);
      assertThatThrownBy(bad::result).hasMessage("broken");
      assertThatThrownBy(good::result).hasMessageContaining("not ended");
      while (!good.isDone()) {
        batcher.step(null);
      }
      assertThat(good.result().ids().size()).isEqualTo(9);
    }
  }

  @Test
  void scoresAreThoseOfTheRawDistribution() {
    ToyDecoder decoder = new ToyDecoder(VOCABULARY, ToyDecoder.random(VOCABULARY, 4));
    GenerationConfig config =
        GenerationConfig.builder()
            .temperature(2)
            .topK(3)
            .repetitionPenalty(3)
            .maxNewTokens(6)
            .build();
    List<TokenScores> told = new ArrayList<>();
    List<Integer> ids = new ArrayList<>();
    GenerationListener recorder =
        new GenerationListener() {
          @Override
          public void onToken(int id, @Nullable TokenScores scores) {
            ids.add(id);
            told.add(scores);
          }
        };
    try (Generator generator = new Generator(decoder, TOKENIZER, ChatTemplate.VICUNA_V0, 99, EOS);
        Batcher batcher = new Batcher(decoder, 1, 32);
        Session session = generator.newSession()) {
      GenerationTask task = generator.task(session, Prompt.of(5, 6, 7), config, 4, recorder);
      batcher.add(task);
      while (!task.isDone()) {
        batcher.step(null);
      }
    }
    int[] history = {5, 6, 7};
    for (int i = 0; i < told.size(); i++) {
      float[] scores = ToyDecoder.random(VOCABULARY, 4).apply(history);
      LogitsProcessor.logSoftmax(scores);
      TokenScores each = told.get(i);
      assertThat(each.logProbability()).isEqualTo(scores[ids.get(i)]);
      assertThat(each.top()).hasSize(4);
      float last = 0;
      for (TokenScores.Rival rival : each.top()) {
        assertThat(rival.logProbability()).isEqualTo(scores[rival.id()]).isLessThanOrEqualTo(last);
        last = rival.logProbability();
      }
      int better = 0;
      for (float score : scores) {
        better += score > last ? 1 : 0;
      }
      assertThat(better).isEqualTo(3);
      history = Arrays.copyOf(history, history.length + 1);
      history[history.length - 1] = ids.get(i);
    }
  }
}
