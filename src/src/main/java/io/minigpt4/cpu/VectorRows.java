package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ADD;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The row-wise parts of attention. */
final class VectorRows {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  private VectorRows() {}

  static void rowDots(float[] x, int xAt, float[] rows, int n, int width, float[] scores, int at) {
    int bound = SPECIES.loopBound(width);
    for (int j = 0; j < n; j++) {
      int row = j * width;
      FloatVector sums = FloatVector.zero(SPECIES);
      for (int i = 0; i < bound; i += N) {
        FloatVector values = FloatVector.fromArray(SPECIES, rows, row + i);
        sums = values.fma(FloatVector.fromArray(SPECIES, x, xAt + i), sums);
      }
      float sum = sums.reduceLanes(ADD);
      for (int i = bound; i < width; i++) {
        sum += x[xAt + i] * rows[row + i];
      }
      scores[at + j] = sum;
    }
  }

  static void addWeightedRows(
      float[] p, int at, float[] rows, int n, int width, float[] out, int outAt) {
    int bound = SPECIES.loopBound(width);
    for (int c = 0; c < bound; c += N) {
      FloatVector sums = FloatVector.fromArray(SPECIES, out, outAt + c);
      for (int j = 0; j < n; j++) {
        FloatVector weight = FloatVector.broadcast(SPECIES, p[at + j]);
        sums = FloatVector.fromArray(SPECIES, rows, j * width + c).fma(weight, sums);
      }
      sums.intoArray(out, outAt + c);
    }
    for (int c = bound; c < width; c++) {
      for (int j = 0; j < n; j++) {
        out[outAt + c] += p[at + j] * rows[j * width + c];
      }
    }
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
