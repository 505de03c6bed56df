package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Prompt;
import io.minigpt4.text.Tokenizer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Tokens that the device chooses are those that the host would, and all that crosses the bus. */
class DeviceChoiceTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));
  private static final int VOCABULARY = TOKENIZER.size();
  private static final int EOS = TOKENIZER.eosId();
  private static final LlamaConfig TINY =
      new LlamaConfig(VOCABULARY, 64, 96, 2, 2, 1, 2048, 1e-6f, 10000, 1, false, 1, 2);

  /** The same decoder without a device that chooses. */
  private record FromScores(Decoder decoder) implements Decoder {
    @Override
    public int vocabularySize() {
      return decoder.vocabularySize();
    }

    @Override
    public KvCache newCache() {
      return decoder.newCache();
    }

    @Override
    public void forward(
        Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
      decoder.forward(batch, ids, imageRows, logits);
    }
  }

  /** What is asked for, and how many likely tokens with each. */
  private record Wish(GenerationConfig config, int topScores) {}

  private static List<Wish> wishes() {
    GenerationConfig base = GenerationConfig.builder().maxNewTokens(7).seed(5).build();
    return List.of(
        new Wish(base, 0),
        new Wish(base.toBuilder().temperature(0).minNewTokens(7).build(), 0),
        new Wish(base.toBuilder().temperature(0.7).topK(0).repetitionPenalty(1.5).build(), 0),
        new Wish(base.toBuilder().topK(0).topP(1).seed(-3).build(), 0),
        new Wish(base.toBuilder().seed(6).build(), 3),
        new Wish(base.toBuilder().numBeams(2).build(), 0));
  }

  private static List<int[]> together(Decoder decoder, List<Wish> wishes) {
    List<Session> sessions = new ArrayList<>();
    List<GenerationTask> tasks = new ArrayList<>();
    try (Generator generator = new Generator(decoder, TOKENIZER, ChatTemplate.VICUNA_V0, 300, EOS);
        Batcher batcher = new Batcher(decoder, 8, 16)) {
      for (int i = 0; i < wishes.size(); i++) {
        sessions.add(generator.newSession());
        Prompt prompt = Prompt.of(java.util.stream.IntStream.range(9, 11 + 3 * i).toArray());
        Wish wish = wishes.get(i);
        GenerationListener none = GenerationListener.NONE;
        tasks.add(generator.task(sessions.getLast(), prompt, wish.config, wish.topScores, none));
        batcher.add(tasks.getLast());
      }
      while (tasks.stream().anyMatch(task -> !task.isDone())) {
        batcher.step(null);
      }
    }
    sessions.forEach(Session::close);
    return tasks.stream().map(task -> task.result().ids().toIntArray()).toList();
  }

  @Test
  void theSameTokensInAnyCompany() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0)) {
      Decoder decoder = Decoder.of(Llama.random(TINY, DType.F16, 3, ops));
      List<Wish> wishes = wishes();
      List<int[]> chosen = together(decoder, wishes);
      List<int[]> expected = together(new FromScores(decoder), wishes);
      for (int i = 0; i < wishes.size(); i++) {
        assertThat(chosen.get(i)).as("%s", wishes.get(i)).isEqualTo(expected.get(i));
      }
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  /** Of each step, a token a row comes back, and lengths, pages and places of states go out. */
  @Test
  void onlyTokensCrossTheBus() {
    List<Wish> few = wishes().subList(0, 4);
    GenerationConfig longer =
        GenerationConfig.builder().maxNewTokens(40).minNewTokens(40).seed(1).build();
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0)) {
      Decoder decoder = Decoder.of(Llama.random(TINY, DType.F16, 3, ops));
      together(decoder, few);
      long before = cuda.driver().bytesToHost();
      List<int[]> ids = together(decoder, few);
      int tokens = ids.stream().mapToInt(each -> each.length).sum();
      assertThat(tokens).isGreaterThan(8);
      assertThat(cuda.driver().bytesToHost() - before).isEqualTo(4L * tokens);

      List<Wish> one = List.of(new Wish(longer, 0));
      before = cuda.driver().bytesToDevice();
      together(decoder, one);
      assertThat(cuda.driver().bytesToDevice() - before).isLessThan(40 * 16_384);
      before = cuda.driver().bytesToHost();
      together(new FromScores(decoder), one);
      assertThat(cuda.driver().bytesToHost() - before).isEqualTo(40L * 4 * VOCABULARY);
    }
  }

  /** However many layers there are: next to nothing is left to the host. */
  @Test
  void aStepIsSixCallsOfTheDriver() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0)) {
      Llama llama = Llama.random(TINY, DType.F16, 3, ops);
      Batch batch = new Batch(1);
      int[] chosen = new int[1];
      List<String> calls = new ArrayList<>();
      try (KvCache cache = llama.newCache();
          TokenChoice choice = ops.tokenChoice(new TokenRule(0, 0, 1, 1, 0, 9, 1), EOS)) {
        TokenChoice[] choices = {choice};
        for (int i = 0; i < 4; i++) {
          calls.clear();
          cuda.driver().onCall(calls::add);
          batch.clear();
          batch.add(cache, 1);
          llama.score(
              batch,
              new int[] {7},
              null,
              (device, scores, first) -> device.choose(scores, choices, 0, chosen));
        }
      }
      assertThat(calls)
          .startsWith(
              "cuEventSynchronize",
              "cuGraphLaunch",
              "cuEventRecord",
              "cuLaunchKernel",
              "cuMemcpyDtoHAsync_v2",
              "cuStreamSynchronize")
          .hasSize(6);
    }
  }

  @Test
  void scoresThatAreNotFinite() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0);
        Arena arena = Arena.ofConfined();
        TokenChoice choice = ops.tokenChoice(new TokenRule(1, 0, 1, 1, 0, 4, 1), EOS)) {
      Tensor scores = ops.allocate(DType.F32, 2, 5);
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, 10);
      host.fill((byte) 0xFF); // NaN
      ops.write(host, scores);
      int[] tokens = {-5, -5};
      ops.choose(scores, new TokenChoice[] {null, choice}, 0, tokens);
      assertThat(tokens).containsExactly(-5, -1);
      assertThat(LogitsProcessor.notFinite()).isInstanceOf(UserException.class);
    }
  }

  @Test
  void choicesBelongToTheirDevice() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0);
        CudaOps other = cuda.open(0)) {
      TokenChoice foreign = other.tokenChoice(new TokenRule(1, 0, 1, 1, 0, 4, 1));
      Tensor scores = ops.allocate(DType.F32, 1, 5);
      assertThatThrownBy(() -> ops.choose(scores, new TokenChoice[] {foreign}, 0, new int[1]))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("another device");
      foreign.close();
    }
  }
}
