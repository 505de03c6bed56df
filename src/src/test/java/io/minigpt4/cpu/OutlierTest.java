package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Large language models have a few channels whose activations are tens of times larger than the
 * others (Dettmers et al. 2022, section 3). LLM.int8() keeps them in 16 bits and quantises the
 * other activations; here all activations are float32 or bfloat16, whose error is each element's
 * own, so that outliers must cost nothing at all.
 */
class OutlierTest {
  private static final int ROWS = 8;
  private static final int N = 96;
  private static final int K = 1024;

  /** LLM.int8()'s threshold. */
  private static final float THRESHOLD = 6;

  private final SplittableRandom random = new SplittableRandom(7);
  private final float[] x = new float[ROWS * K];
  private final float[] w = new float[N * K];

  private void fill(double outliers) {
    for (int i = 0; i < w.length; i++) {
      w[i] = (float) (0.02 * random.nextGaussian());
    }
    for (int i = 0; i < x.length; i++) {
      boolean outlier = i % K == 17 || i % K == 301 || i % K == 900;
      x[i] = (float) (random.nextGaussian() * (outlier ? outliers : 1));
    }
  }

  /** x · wᵀ over the columns that are outliers, or those that are not. */
  private double[] product(float[] left, float[] right, boolean[] columns) {
    double[] out = new double[ROWS * N];
    for (int i = 0; i < ROWS; i++) {
      for (int j = 0; j < N; j++) {
        double sum = 0;
        for (int c = 0; c < K; c++) {
          sum += columns[c] ? (double) left[i * K + c] * right[j * K + c] : 0;
        }
        out[i * N + j] = sum;
      }
    }
    return out;
  }

  /** Rows rounded to 8 bits by their largest magnitude among the columns. */
  private static float[] rounded(float[] matrix, boolean[] columns) {
    float[] result = new float[matrix.length];
    for (int from = 0; from < matrix.length; from += K) {
      float max = 0;
      for (int c = 0; c < K; c++) {
        max = columns[c] ? Math.max(max, Math.abs(matrix[from + c])) : max;
      }
      for (int c = 0; c < K; c++) {
        result[from + c] = Math.round(matrix[from + c] * 127 / max) * max / 127;
      }
    }
    return result;
  }

  private static double error(double[] actual, double[] exact) {
    double errors = 0;
    double squares = 0;
    for (int i = 0; i < exact.length; i++) {
      errors += (actual[i] - exact[i]) * (actual[i] - exact[i]);
      squares += exact[i] * exact[i];
    }
    return Math.sqrt(errors / squares);
  }

  private double[] ours(boolean perRow) {
    try (CpuOps ops = CpuOps.create(1);
        Arena arena = Arena.ofShared()) {
      Tensor left = ops.allocate(DType.F32, ROWS, K);
      ops.write(MemorySegment.ofArray(x), left);
      Tensor right = ops.allocate(DType.F32, N, K);
      ops.write(MemorySegment.ofArray(w), right);
      Tensor matrix = new Quantiser(DType.Q8, 32).quantise(right, arena).matrix();
      Tensor out = ops.allocate(DType.F32, ROWS, N);
      if (perRow) {
        ops.linearPerRow(left, matrix, null, out);
      } else {
        ops.linear(left, matrix, null, out);
      }
      float[] values = Floats.of(out);
      double[] result = new double[values.length];
      for (int i = 0; i < values.length; i++) {
        result[i] = values[i];
      }
      return result;
    }
  }

  /** Relative errors: all activations in 8 bits, LLM.int8(), ours row by row, ours together. */
  private double[] errors(double outliers) {
    fill(outliers);
    boolean[] all = new boolean[K];
    boolean[] large = new boolean[K];
    boolean[] others = new boolean[K];
    for (int c = 0; c < K; c++) {
      all[c] = true;
      for (int i = 0; i < ROWS; i++) {
        large[c] |= Math.abs(x[i * K + c]) >= THRESHOLD;
      }
      others[c] = !large[c];
    }
    double[] exact = product(x, w, all);
    double[] mixed = product(rounded(x, others), rounded(w, others), others);
    double[] kept = product(x, w, large);
    for (int i = 0; i < mixed.length; i++) {
      mixed[i] += kept[i];
    }
    double plain = error(product(rounded(x, all), rounded(w, all), all), exact);
    return new double[] {
      plain, error(mixed, exact), error(ours(true), exact), error(ours(false), exact)
    };
  }

  @Test
  void outliersCostNothing() {
    double[] without = errors(1);
    double[] with = errors(60);
    assertThat(without[0]).as("all in 8 bits").isLessThan(0.02);
    assertThat(with[0]).as("all in 8 bits, with outliers").isGreaterThan(0.015);
    for (int way = 2; way < 4; way++) {
      assertThat(without[way]).as("without outliers, LLM.int8() and ours").isLessThan(without[1]);
      assertThat(with[way]).isLessThan(1.2 * without[way]).isLessThan(0.01);
    }
  }
}
