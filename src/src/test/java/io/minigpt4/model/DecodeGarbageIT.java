package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.testing.Program;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What the vector kernels leave on the heap, each case in a virtual machine of its own: C2 compiles
 * a kernel by what it has seen, and other tests show it what no program does.
 */
class DecodeGarbageIT {
  private static final LlamaConfig CONFIG =
      new LlamaConfig(1000, 192, 416, 2, 6, 3, 512, 1e-6f, 10000, 1, false, 1, 2);

  /** More than a page of keys. */
  private static final int STEPS = 70;

  private static final Duration PATIENCE = Duration.ofSeconds(40);

  private static final String NONE = "0 bytes a round" + System.lineSeparator();

  @ParameterizedTest
  @CsvSource({"F32, 1", "F16, 1", "BF16, 1", "F16, 5"})
  void decodingMakesNoGarbage(DType weights, int sequences)
      throws IOException, InterruptedException {
    Program program = decode(weights, sequences);
    assertThat(program.code()).as(program.err()).isZero();
    assertThat(program.out()).isEqualTo(NONE);
  }

  private static Program decode(DType weights, int sequences)
      throws IOException, InterruptedException {
    return Program.run(
        Map.of(),
        "",
        Program.thisJava(),
        "--add-modules=jdk.incubator.vector",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        System.getProperty("java.class.path"),
        DecodeGarbageIT.class.getName(),
        weights.name(),
        Integer.toString(sequences));
  }

  @Test
  void withoutTheVectorModuleOneLineSaysWhatToDo() throws IOException, InterruptedException {
    Program program =
        Program.run(
            Map.of(),
            "",
            Program.thisJava(),
            "-cp",
            System.getProperty("java.class.path"),
            DecodeGarbageIT.class.getName(),
            DType.F32.name(),
            "1");
    assertThat(program.err())
        .contains("io.minigpt4.tensor.UserException: this Java was started without the Vector API")
        .contains("--add-modules jdk.incubator.vector");
  }

  /** Decodes until a round of steps allocates nothing in any thread, or patience ends. */
  public static void main(String[] arguments) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    int sequences = Integer.parseInt(arguments[1]);
    KvCache[] caches = new KvCache[sequences];
    Batch batch = new Batch(sequences);
    int[] ids = new int[sequences];
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    long garbage = Long.MAX_VALUE;
    try (CpuOps ops = CpuOps.create(2);
        Arena arena = Arena.ofConfined()) {
      Llama llama = Llama.random(CONFIG, DType.valueOf(arguments[0]), 7, ops);
      MemorySegment logits = arena.allocate(4L * sequences * CONFIG.vocabSize(), 64);
      for (int i = 0; i < sequences; i++) {
        caches[i] = llama.newCache();
      }
      while (garbage > 0 && System.nanoTime() < deadline) {
        for (KvCache cache : caches) {
          cache.truncate(0);
          cache.reserve(STEPS);
        }
        long before = threads.getTotalThreadAllocatedBytes();
        for (int step = 0; step < STEPS; step++) {
          batch.clear();
          for (KvCache cache : caches) {
            batch.add(cache, 1);
          }
          llama.forward(batch, ids, null, logits);
        }
        garbage = threads.getTotalThreadAllocatedBytes() - before;
      }
    }
    System.out.println(garbage + " bytes a round");
  }
}
