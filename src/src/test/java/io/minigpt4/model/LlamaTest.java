package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What holds for a LLaMA of any weights; {@link LlamaGoldenTest} compares with PyTorch. */
class LlamaTest {
  private static final LlamaConfig CONFIG =
      new LlamaConfig(97, 64, 112, 3, 4, 2, 2048, 1e-6f, 10000, 1, false, 1, 2);

  private static CpuOps ops;

  @BeforeAll
  static void open() {
    ops = CpuOps.create(2);
  }

  @AfterAll
  static void close() {
    ops.close();
  }

  @Test
  void promptsLongerThanAChunkGiveTheSameAsTokenByToken() {
    Llama llama = Llama.random(CONFIG, DType.F32, 7, ops);
    int[] ids = ids(2 * Llama.CHUNK + 3);
    Batch batch = new Batch(1);
    float[] atOnce;
    try (KvCache cache = llama.newCache()) {
      batch.add(cache, ids.length);
      atOnce = logits(llama, batch, ids);
      assertThat(cache.length()).isEqualTo(ids.length);
    }
    try (KvCache cache = llama.newCache()) {
      float[] stepwise = {};
      for (int id : ids) {
        batch.clear();
        batch.add(cache, 1);
        stepwise = logits(llama, batch, id);
      }
      Goldens.assertNear("last logits", atOnce, stepwise, 1e-4);
    }
  }

  @ParameterizedTest
  @CsvSource({"3, 5, 1", "500, 400, 300", "1, 600, 1"})
  void sequencesOfOneBatchDoNotSeeEachOther(int first, int second, int third) {
    Llama llama = Llama.random(CONFIG, DType.F32, 7, ops);
    int[] lengths = {first, second, third};
    int[] ids = ids(first + second + third);
    Batch together = new Batch(3);
    for (int length : lengths) {
      together.add(llama.newCache(), length);
    }
    float[] all = logits(llama, together, ids);
    int from = 0;
    for (int i = 0; i < 3; i++) {
      Batch alone = new Batch(1);
      alone.add(llama.newCache(), lengths[i]);
      float[] expected = logits(llama, alone, Arrays.copyOfRange(ids, from, from + lengths[i]));
      int vocab = CONFIG.vocabSize();
      Goldens.assertNear(
          "sequence " + i, Arrays.copyOfRange(all, i * vocab, (i + 1) * vocab), expected, 1e-5);
      from += lengths[i];
    }
  }

  @Test
  void logitsThatNobodyWantsChangeNothing() {
    Llama llama = Llama.random(CONFIG, DType.F32, 7, ops);
    int[] ids = ids(40);
    Batch batch = new Batch(1);
    batch.add(llama.newCache(), 40);
    float[] expected = logits(llama, batch, ids);

    KvCache cache = llama.newCache();
    batch.clear();
    batch.add(cache, 39);
    llama.forward(batch, ids, null, null);
    batch.clear();
    batch.add(cache, 1);
    Goldens.assertNear("logits", logits(llama, batch, ids[39]), expected, 1e-5);
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F16", "BF16"})
  void halfPrecisionWeightsStayNear(DType dtype) {
    int[] ids = ids(30);
    Batch batch = new Batch(1);
    Llama full = Llama.random(CONFIG, DType.F32, 7, ops);
    batch.add(full.newCache(), ids.length);
    float[] expected = logits(full, batch, ids);
    Llama half = Llama.random(CONFIG, dtype, 7, ops);
    batch.clear();
    batch.add(half.newCache(), ids.length);
    Goldens.assertNear("logits", logits(half, batch, ids), expected, 1e-2);
  }

  @Test
  void keysAndValuesOfHalfWeightsAreKeptInHalfTheBytes() {
    Llama full = Llama.random(CONFIG, DType.F32, 7, ops);
    Llama half = Llama.random(CONFIG, DType.F16, 7, ops);
    assertThat(full.pool().dtype()).isEqualTo(DType.F32);
    boolean nativeCode = !CpuOps.nativeProducts().startsWith("none");
    assertThat(half.pool().dtype()).isEqualTo(nativeCode ? DType.F16 : DType.F32);
    try (CpuOps exact = CpuOps.createExact(1)) {
      assertThat(Llama.random(CONFIG, DType.F16, 7, exact).pool().dtype()).isEqualTo(DType.F32);
    }
  }

  @Test
  void wrongIdsAreRefusedAndTheSequenceStaysAsItWas() {
    Llama llama = Llama.random(CONFIG, DType.F32, 7, ops);
    KvCache cache = llama.newCache();
    Batch batch = new Batch(1);
    batch.add(cache, 1);
    assertThatThrownBy(() -> llama.forward(batch, new int[] {97}, null, null))
        .isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> llama.forward(batch, new int[] {~0}, null, null))
        .isInstanceOf(RuntimeException.class);
    assertThat(cache.length()).isZero();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 5, 16})
  void decodingWithScalarKernelsMakesNoGarbage(int sequences) {
    try (CpuOps own = CpuOps.createScalar(2)) {
      Llama llama = Llama.random(CONFIG, DType.F16, 7, own);
      assertThat(leastGarbage(llama, sequences)).as("bytes allocated in a round").isZero();
    }
  }

  /**
   * Bytes that a round of steps allocates, once everything is compiled: the compiler may be long in
   * coming on a busy machine. The vector kernels have {@link DecodeGarbageIT}.
   */
  private static long leastGarbage(Llama llama, int sequences) {
    int steps = 100;
    KvCache[] caches = new KvCache[sequences];
    for (int i = 0; i < sequences; i++) {
      caches[i] = llama.newCache();
    }
    int[] ids = ids(sequences);
    Batch batch = new Batch(sequences);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long deadline = System.nanoTime() + Duration.ofMinutes(3).toNanos();
    long least = Long.MAX_VALUE;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) sequences * CONFIG.vocabSize());
      while (least > 0 && System.nanoTime() < deadline) {
        for (KvCache cache : caches) {
          cache.truncate(0);
          cache.reserve(steps);
        }
        long before = threads.getCurrentThreadAllocatedBytes();
        decode(llama, caches, batch, ids, logits, steps);
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
      }
    }
    return least;
  }

  private static void decode(
      Llama llama, KvCache[] caches, Batch batch, int[] ids, MemorySegment logits, int steps) {
    for (int step = 0; step < steps; step++) {
      batch.clear();
      for (int i = 0; i < caches.length; i++) {
        batch.add(caches[i], 1);
      }
      llama.forward(batch, ids, null, logits);
    }
  }

  private static int[] ids(int count) {
    return IntStream.range(0, count).map(i -> (i * 31 + i / 7) % CONFIG.vocabSize()).toArray();
  }

  private static float[] logits(Llama llama, Batch batch, int... ids) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) batch.size() * llama.config().vocabSize());
      llama.forward(batch, ids, null, logits);
      return logits.toArray(ValueLayout.JAVA_FLOAT);
    }
  }
}
