package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.minigpt4.testing.Program;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * Kernels that sum over lanes add in one order, whether the interpreter runs them or a compiler's
 * code; else a run could not be repeated. Each is a virtual machine of its own.
 */
class SameBitsIT {
  private static final int[] LENGTHS = {1, 15, 16, 64, 100, 1000, 2048};
  private static final int MOST = 2048;
  private static final int ROWS = 5;

  /** Enough for C2 to have compiled every kernel. */
  private static final int ROUNDS = 6000;

  @Test
  void interpretedAndCompiledKernelsAgreeToTheBit() throws IOException, InterruptedException {
    String interpreted = results("-Xint", 1);
    assertThat(interpreted.lines()).hasSize(7 * LENGTHS.length);
    assertThat(results("-XX:TieredStopAtLevel=1", 500)).isEqualTo(interpreted);
    assertThat(results("-XX:+TieredCompilation", ROUNDS)).isEqualTo(interpreted);
  }

  @Test
  void compiledKernelsMakeNoGarbage() throws IOException, InterruptedException {
    assertThat(run("-XX:+TieredCompilation", "garbage").trim()).isEqualTo("0 bytes");
  }

  private static String results(String mode, int rounds) throws IOException, InterruptedException {
    return run(mode, Integer.toString(rounds));
  }

  private static String run(String mode, String what) throws IOException, InterruptedException {
    Program program =
        Program.run(
            Map.of(),
            "",
            Program.thisJava(),
            mode,
            "--add-modules=jdk.incubator.vector",
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            SameBitsIT.class.getName(),
            what);
    assertThat(program.code()).as(program.err()).isZero();
    return program.out();
  }

  /** Runs every kernel so many times and prints its last results, or what they allocate. */
  public static void main(String[] arguments) {
    try (Arena arena = Arena.ofConfined()) {
      Bench bench = new Bench(arena);
      if (arguments[0].equals("garbage")) {
        System.out.println(bench.garbage() + " bytes");
        return;
      }
      int rounds = Integer.parseInt(arguments[0]);
      Map<String, Integer> hashes = new TreeMap<>();
      for (int n : LENGTHS) {
        for (int i = 0; i < rounds; i++) {
          bench.round(n, i == rounds - 1 ? hashes : null);
        }
      }
      hashes.forEach((name, hash) -> System.out.println(name + " " + hash));
    }
  }

  /** The kernels and what they work on. */
  private static final class Bench {
    private final Kernels kernels = new VectorKernels();
    private final GradKernels gradients = kernels.gradients();
    private final MemorySegment in;
    private final MemorySegment out;
    private final float[] source = new float[MOST];
    private final float[] row = new float[MOST];
    private final float[] scores = new float[64];
    private final float[] scratch = new float[16 * 64];

    Bench(Arena arena) {
      in = arena.allocate(4L * ROWS * MOST, 64);
      out = arena.allocate(4L * MOST, 64);
      SplittableRandom random = new SplittableRandom(3);
      for (int i = 0; i < ROWS * MOST; i++) {
        in.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
      }
      for (int i = 0; i < MOST; i++) {
        source[i] = (float) (3 * random.nextGaussian());
      }
    }

    private long row(int number, int n) {
      return in.address() + 4L * number * n;
    }

    private void note(@Nullable Map<String, Integer> hashes, String name, int n) {
      if (hashes != null) {
        float[] floats = out.asSlice(0, 4L * n).toArray(ValueLayout.JAVA_FLOAT);
        hashes.put(name + " " + n, Arrays.hashCode(floats));
      }
    }

    private void noteArray(
        @Nullable Map<String, Integer> hashes, String name, int n, float[] floats) {
      if (hashes != null) {
        hashes.put(name + " " + n, Arrays.hashCode(floats));
      }
    }

    /** Every kernel once, on rows of n. */
    void round(int n, @Nullable Map<String, Integer> hashes) {
      kernels.layerNorm(row(0, n), row(1, n), row(2, n), 1e-5f, out.address(), n);
      note(hashes, "layerNorm", n);
      kernels.rmsNorm(row(0, n), row(1, n), 1e-5f, out.address(), n);
      note(hashes, "rmsNorm", n);
      gradients.rmsNorm(row(0, n), row(1, n), 1e-5f, row(2, n), out.address(), false, n);
      note(hashes, "rmsNorm backwards", n);
      kernels.siluMul(row(0, n), row(1, n), out.address(), n);
      note(hashes, "siluMul", n);
      gradients.siluMul(row(0, n), row(1, n), row(2, n), row(3, n), out.address(), n);
      note(hashes, "siluMul backwards", n);
      System.arraycopy(source, 0, row, 0, MOST);
      kernels.softmax(row, 0, n);
      noteArray(hashes, "softmax", n, row);
      int width = n - n % kernels.lanes();
      kernels.rowDots(source, 0, row(0, width), ROWS, width, scores, 0, scratch);
      noteArray(hashes, "rowDots", n, Arrays.copyOf(scores, ROWS));
    }

    /** Bytes of a thousand rounds, the least of those until there are none or patience ends. */
    long garbage() {
      ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
      long deadline = System.nanoTime() + 40_000_000_000L;
      long least = Long.MAX_VALUE;
      while (least > 0 && System.nanoTime() < deadline) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 1000; i++) {
          kernels.layerNorm(row(0, MOST), row(1, MOST), row(2, MOST), 1e-5f, out.address(), MOST);
          kernels.rmsNorm(row(0, MOST), row(1, MOST), 1e-5f, out.address(), MOST);
          gradients.rmsNorm(
              row(0, MOST), row(1, MOST), 1e-5f, row(2, MOST), out.address(), false, MOST);
          System.arraycopy(source, 0, row, 0, MOST);
          kernels.softmax(row, 0, MOST);
        }
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
      }
      return least;
    }
  }
}
