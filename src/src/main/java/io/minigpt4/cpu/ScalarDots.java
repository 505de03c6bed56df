package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;

/** {@link DotKernels} in plain Java, each sum in double precision. */
final class ScalarDots implements DotKernels {
  @Override
  public void dots(
      DType type, Rows x, int m, long w, int n, int k, long out, long outStride, float[] scratch) {
    float[] values = x.array();
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int c = 0; c < k; c++) {
          sum += (double) values[i * k + c] * ScalarKernels.load(type, w, (long) j * k + c);
        }
        Memory.setFloat(out + 4 * (i * outStride + j), (float) sum);
      }
    }
  }

  @Override
  public void arrange(DType type, long x, long xStride, int m, int k, Rows to) {
    copyRows(x, xStride, m, k, to);
  }

  /** Copies m rows of k floats, one after the other. */
  static void copyRows(long x, long xStride, int m, int k, Rows to) {
    float[] values = to.newArray((long) m * k);
    for (int i = 0; i < m; i++) {
      MemorySegment.copy(Memory.ALL, Memory.FLOAT, x + 4L * i * xStride, values, i * k, k);
    }
  }

  @Override
  public int scratch() {
    return 0;
  }
}
