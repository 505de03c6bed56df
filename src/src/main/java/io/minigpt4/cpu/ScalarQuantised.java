package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;

/** {@link QuantisedKernels} in plain Java: the form of {@link Quantised}, element by element. */
final class ScalarQuantised implements QuantisedKernels {
  /** Element {@code e} of a row. */
  static float element(QuantisedRows w, long row, int e) {
    if (w.type() == DType.Q8) {
      return Memory.getByte(w.row(row) + e) * Memory.getFloat(w.scales(row));
    }
    int blockElements = Quantised.LANES * w.group();
    int block = e / blockElements;
    int inBlock = e % blockElements;
    int lane = inBlock % Quantised.LANES;
    int line = inBlock / Quantised.LINE;
    int nibble = inBlock % Quantised.LINE / Quantised.LANES;
    long at = w.row(row) + block * (blockElements / 2L) + 64L * line + 4L * lane;
    int word = Integer.rotateRight(Memory.getInt(at), Quantised.ROTATION);
    int value = (word >>> (4 * nibble) & 15) - Quantised.ZERO;
    long scale = w.scales(row) + 2L * (Quantised.LANES * block + lane);
    return value * Float.intBitsToFloat(Memory.getShort(scale) << 16);
  }

  @Override
  public void toFloats(QuantisedRows w, long row, int from, int n, float[] to, int at) {
    for (int i = 0; i < n; i++) {
      to[at + i] = element(w, row, from + i);
    }
  }

  @Override
  public void dots(
      QuantisedRows w, Rows x, int m, long row, int n, long out, long outStride, float[] scratch) {
    float[] values = x.array();
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int c = 0; c < w.width(); c++) {
          sum += (double) values[i * w.width() + c] * element(w, row + j, c);
        }
        Memory.setFloat(out + 4 * (i * outStride + j), (float) sum);
      }
    }
  }

  @Override
  public void arrange(QuantisedRows w, long x, long xStride, int m, Rows to) {
    ScalarDots.copyRows(x, xStride, m, w.width(), to);
  }
}
