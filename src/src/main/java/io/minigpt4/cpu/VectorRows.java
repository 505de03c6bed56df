package io.minigpt4.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The row-wise parts of attention. */
final class VectorRows {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  private VectorRows() {}

  static void rowDots(
      float[] x, int xAt, long rows, int n, int width, float[] scores, int at, float[] scratch) {
    int bound = SPECIES.loopBound(width);
    for (int j = 0; j < n; j++) {
      long row = rows + 4L * j * width;
      FloatVector sums = FloatVector.zero(SPECIES);
      for (int i = 0; i < bound; i += N) {
        FloatVector values =
            FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row + 4L * i, ORDER);
        sums = values.fma(FloatVector.fromArray(SPECIES, x, xAt + i), sums);
      }
      sums.intoArray(scratch, j * N);
    }
    VectorSums.sum(scratch, 0, n);
    for (int j = 0; j < n; j++) {
      float sum = scratch[j];
      for (int i = bound; i < width; i++) {
        sum += x[xAt + i] * Memory.getFloat(rows + 4L * (j * width + i));
      }
      scores[at + j] = sum;
    }
  }

  static void addWeightedRows(
      float[] p, int at, long rows, int n, int width, float[] out, int outAt) {
    int c = 0;
    for (; c + 4 * N <= width; c += 4 * N) {
      addFourColumns(p, at, rows + 4L * c, n, width, out, outAt + c);
    }
    for (; c + N <= width; c += N) {
      FloatVector sums = FloatVector.fromArray(SPECIES, out, outAt + c);
      for (int j = 0; j < n; j++) {
        long row = rows + 4L * (j * width + c);
        FloatVector weight = FloatVector.broadcast(SPECIES, p[at + j]);
        sums = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row, ORDER).fma(weight, sums);
      }
      sums.intoArray(out, outAt + c);
    }
    for (; c < width; c++) {
      for (int j = 0; j < n; j++) {
        out[outAt + c] += p[at + j] * Memory.getFloat(rows + 4L * (j * width + c));
      }
    }
  }

  /** Four vectors of each row, whose sums hide each other's latency. */
  private static void addFourColumns(
      float[] p, int at, long rows, int n, int width, float[] out, int outAt) {
    FloatVector a = FloatVector.fromArray(SPECIES, out, outAt);
    FloatVector b = FloatVector.fromArray(SPECIES, out, outAt + N);
    FloatVector c = FloatVector.fromArray(SPECIES, out, outAt + 2 * N);
    FloatVector d = FloatVector.fromArray(SPECIES, out, outAt + 3 * N);
    for (int j = 0; j < n; j++) {
      long row = rows + 4L * j * width;
      FloatVector weight = FloatVector.broadcast(SPECIES, p[at + j]);
      a = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row, ORDER).fma(weight, a);
      b = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row + 4L * N, ORDER).fma(weight, b);
      c = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row + 8L * N, ORDER).fma(weight, c);
      d = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, row + 12L * N, ORDER).fma(weight, d);
    }
    a.intoArray(out, outAt);
    b.intoArray(out, outAt + N);
    c.intoArray(out, outAt + 2 * N);
    d.intoArray(out, outAt + 3 * N);
  }

  static void scaleColumns(float[] x, int at, int rows, int width, float[] factor, int factorAt) {
    for (int c = 0; c < width; c += N) {
      FloatVector by = FloatVector.fromArray(SPECIES, factor, factorAt + c);
      for (int r = 0; r < rows; r++) {
        int place = at + c + r * width;
        FloatVector.fromArray(SPECIES, x, place).mul(by).intoArray(x, place);
      }
    }
  }

  static void rotate(long x, float[] table, int at, int half) {
    int bound = SPECIES.loopBound(half);
    for (int i = 0; i < bound; i += N) {
      long low = x + 4L * i;
      long high = low + 4L * half;
      FloatVector a = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, low, ORDER);
      FloatVector b = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, high, ORDER);
      FloatVector cos = FloatVector.fromArray(SPECIES, table, at + i);
      FloatVector sin = FloatVector.fromArray(SPECIES, table, at + half + i);
      a.mul(cos).sub(b.mul(sin)).intoMemorySegment(Memory.ALL, low, ORDER);
      b.mul(cos).add(a.mul(sin)).intoMemorySegment(Memory.ALL, high, ORDER);
    }
    for (int i = bound; i < half; i++) {
      float a = Memory.getFloat(x + 4L * i);
      float b = Memory.getFloat(x + 4L * (half + i));
      float cos = table[at + i];
      float sin = table[at + half + i];
      Memory.setFloat(x + 4L * i, a * cos - b * sin);
      Memory.setFloat(x + 4L * (half + i), b * cos + a * sin);
    }
  }
}
