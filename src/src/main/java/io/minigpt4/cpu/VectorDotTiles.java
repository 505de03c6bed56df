package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.LSHL;

import io.minigpt4.tensor.DType;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link DotKernels#dots} for several rows of x, the decoding of many sequences together: four rows
 * of weights at a time are converted to float32, {@link #CHUNK} elements deep, so that they stay in
 * the first-level cache while all rows of x meet them.
 *
 * <p>Every sum is formed as {@link VectorDots} forms it for one row: in the same lanes, in the same
 * order. So a row's result is the same to the last bit whatever the number of rows; there is the
 * proof in {@code PerRowTest}.
 */
final class VectorDotTiles {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** Elements of each of four rows that are converted at a time. */
  private static final int CHUNK = 1024;

  /** Rows of weights at a time. */
  private static final int ROWS = 4;

  private VectorDotTiles() {}

  /** Floats of scratch that {@link #dots} needs: weights and sums. */
  static int scratch() {
    return ROWS * CHUNK + DotKernels.MOST_ROWS * ROWS * N;
  }

  /** Elements that go through whole vectors; half-width weights come in pairs. */
  static int vectorized(DType type, int k) {
    int step = type == DType.F32 ? N : 2 * N;
    return k / step * step;
  }

  /** Rows of x in the order in which {@link #dots} meets their elements. */
  static void arrange(DType type, long x, long xStride, int m, int k, float[] to) {
    int bound = vectorized(type, k);
    for (int i = 0; i < m; i++) {
      long row = x + 4L * i * xStride;
      if (type == DType.F32) {
        VectorDots.toFloats(DType.F32, row, to, i * k, k);
        continue;
      }
      int at = i * k;
      for (int from = 0; from < bound; from += 2 * N) {
        for (int p = 0; p < N; p++) {
          to[at + p] = Memory.getFloat(row + 4L * (from + 2 * p));
          to[at + N + p] = Memory.getFloat(row + 4L * (from + 2 * p + 1));
        }
        at += 2 * N;
      }
      VectorDots.toFloats(DType.F32, row + 4L * bound, to, i * k + bound, k - bound);
    }
  }

  static void dots(
      DType type,
      float[] x,
      int m,
      long w,
      long rowBytes,
      int n,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    int bound = vectorized(type, k);
    for (int j = 0; j < n; j += ROWS) {
      int rows = Math.min(ROWS, n - j);
      long first = w + j * rowBytes;
      for (int from = 0; from < bound; from += CHUNK) {
        int length = Math.min(CHUNK, bound - from);
        convert(type, first, rowBytes, rows, from, length, scratch, CHUNK);
        tiles(x, m, from, k, scratch, length / N, from > 0);
      }
      finish(type, x, m, first, rowBytes, rows, k, out + 4L * j, outStride, scratch);
    }
  }

  /**
   * Elements {@code from} to {@code from + length} of four rows as floats, those of half width even
   * ones first in each 2 N; of fewer than four rows the last stands in for the missing ones.
   */
  static void convert(
      DType type, long w, long rowBytes, int rows, int from, int length, float[] to, int stride) {
    for (int r = 0; r < ROWS; r++) {
      long row = w + Math.min(r, rows - 1) * rowBytes;
      convert(type, row + (long) from * type.bytes(), length, to, r * stride);
    }
  }

  private static void convert(DType type, long from, int length, float[] to, int at) {
    switch (type) {
      case F32 -> VectorDots.toFloats(DType.F32, from, to, at, length);
      case BF16 -> convertBrain(from, length, to, at);
      default -> convertHalf(from, length, to, at);
    }
  }

  private static void convertBrain(long from, int length, float[] to, int at) {
    IntVector upper = IntVector.broadcast(INTS, 0xffff0000);
    for (int i = 0; i < length; i += 2 * N) {
      IntVector pairs = IntVector.fromMemorySegment(INTS, Memory.ALL, from + 2L * i, ORDER);
      pairs.lanewise(LSHL, 16).reinterpretAsFloats().intoArray(to, at + i);
      pairs.and(upper).reinterpretAsFloats().intoArray(to, at + i + N);
    }
  }

  private static void convertHalf(long from, int length, float[] to, int at) {
    for (int i = 0; i < length; i += 2 * N) {
      IntVector pairs = IntVector.fromMemorySegment(INTS, Memory.ALL, from + 2L * i, ORDER);
      VectorHalf.scaled(pairs.lanewise(LSHL, 16)).mul(1 / VectorHalf.SCALE).intoArray(to, at + i);
      VectorHalf.scaled(pairs).mul(1 / VectorHalf.SCALE).intoArray(to, at + i + N);
    }
  }

  /**
   * All rows of x against the converted weights.
   *
   * @param xAt where the elements begin in the first row of x
   * @param count vectors
   */
  private static void tiles(
      float[] x, int m, int xAt, int k, float[] scratch, int count, boolean add) {
    int i = 0;
    for (; i + 4 <= m; i += 4) {
      tile4(x, xAt + i * k, k, scratch, count, sums(i), add);
    }
    if (i + 2 <= m) {
      tile2(x, xAt + i * k, k, scratch, count, sums(i), add);
      i += 2;
    }
    if (i < m) {
      tile1(x, xAt + i * k, scratch, count, sums(i), add);
    }
  }

  /** Where the sums of row {@code i} of x begin. */
  private static int sums(int i) {
    return ROWS * CHUNK + i * ROWS * N;
  }

  /** Sums of vectors, and the elements that fill none. */
  private static void finish(
      DType type,
      float[] x,
      int m,
      long w,
      long rowBytes,
      int rows,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    int bound = vectorized(type, k);
    int at = sums(0);
    if (bound == 0) {
      Arrays.fill(scratch, at, at + m * ROWS, 0);
    } else {
      VectorSums.sum(scratch, at, m * ROWS);
    }
    for (int i = 0; i < m; i++) {
      for (int r = 0; r < rows; r++) {
        float sum = scratch[at + i * ROWS + r];
        if (bound < k) {
          sum = addRest(type, sum, x, i * k, 1, w + r * rowBytes, bound, k);
        }
        Memory.setFloat(out + 4 * (i * outStride + r), sum);
      }
    }
  }

  /**
   * Goes on with a sum without vectors.
   *
   * @param xStride floats from one element of the row of x to the next
   */
  static float addRest(
      DType type, float sum, float[] x, int xAt, int xStride, long w, int from, int k) {
    float rest = sum;
    if (type == DType.F32) {
      for (int c = from; c < k; c++) {
        rest += x[xAt + c * xStride] * Memory.getFloat(w + 4L * c);
      }
      return rest;
    }
    int c = from;
    for (; c + 2 <= k; c += 2) {
      int at = xAt + c * xStride;
      rest += x[at] * element(type, w, c) + x[at + xStride] * element(type, w, c + 1);
    }
    if (c < k) {
      rest += x[xAt + c * xStride] * element(type, w, c);
    }
    return rest;
  }

  private static float element(DType type, long w, int c) {
    return type == DType.F16 ? VectorDots.half(w + 2L * c) : VectorDots.brain(w + 2L * c);
  }

  /** Four rows of x against four rows of weights: sixteen sums, which hide each other's latency. */
  private static void tile4(
      float[] x, int xAt, int xStride, float[] scratch, int count, int accAt, boolean add) {
    int n = SPECIES.length();
    int x0 = xAt + 0 * xStride;
    int x1 = xAt + 1 * xStride;
    int x2 = xAt + 2 * xStride;
    int x3 = xAt + 3 * xStride;
    FloatVector a00, a01, a02, a03;
    FloatVector a10, a11, a12, a13;
    FloatVector a20, a21, a22, a23;
    FloatVector a30, a31, a32, a33;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, scratch, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, scratch, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, scratch, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, scratch, accAt + 3 * n);
      a10 = FloatVector.fromArray(SPECIES, scratch, accAt + 4 * n);
      a11 = FloatVector.fromArray(SPECIES, scratch, accAt + 5 * n);
      a12 = FloatVector.fromArray(SPECIES, scratch, accAt + 6 * n);
      a13 = FloatVector.fromArray(SPECIES, scratch, accAt + 7 * n);
      a20 = FloatVector.fromArray(SPECIES, scratch, accAt + 8 * n);
      a21 = FloatVector.fromArray(SPECIES, scratch, accAt + 9 * n);
      a22 = FloatVector.fromArray(SPECIES, scratch, accAt + 10 * n);
      a23 = FloatVector.fromArray(SPECIES, scratch, accAt + 11 * n);
      a30 = FloatVector.fromArray(SPECIES, scratch, accAt + 12 * n);
      a31 = FloatVector.fromArray(SPECIES, scratch, accAt + 13 * n);
      a32 = FloatVector.fromArray(SPECIES, scratch, accAt + 14 * n);
      a33 = FloatVector.fromArray(SPECIES, scratch, accAt + 15 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a03 = zero;
      a10 = zero;
      a11 = zero;
      a12 = zero;
      a13 = zero;
      a20 = zero;
      a21 = zero;
      a22 = zero;
      a23 = zero;
      a30 = zero;
      a31 = zero;
      a32 = zero;
      a33 = zero;
    }
    for (int i = 0; i < count; i++) {
      FloatVector w0 = FloatVector.fromArray(SPECIES, scratch, 0 * CHUNK + i * n);
      FloatVector w1 = FloatVector.fromArray(SPECIES, scratch, 1 * CHUNK + i * n);
      FloatVector w2 = FloatVector.fromArray(SPECIES, scratch, 2 * CHUNK + i * n);
      FloatVector w3 = FloatVector.fromArray(SPECIES, scratch, 3 * CHUNK + i * n);
      FloatVector v0 = FloatVector.fromArray(SPECIES, x, x0 + i * n);
      a00 = w0.fma(v0, a00);
      a01 = w1.fma(v0, a01);
      a02 = w2.fma(v0, a02);
      a03 = w3.fma(v0, a03);
      FloatVector v1 = FloatVector.fromArray(SPECIES, x, x1 + i * n);
      a10 = w0.fma(v1, a10);
      a11 = w1.fma(v1, a11);
      a12 = w2.fma(v1, a12);
      a13 = w3.fma(v1, a13);
      FloatVector v2 = FloatVector.fromArray(SPECIES, x, x2 + i * n);
      a20 = w0.fma(v2, a20);
      a21 = w1.fma(v2, a21);
      a22 = w2.fma(v2, a22);
      a23 = w3.fma(v2, a23);
      FloatVector v3 = FloatVector.fromArray(SPECIES, x, x3 + i * n);
      a30 = w0.fma(v3, a30);
      a31 = w1.fma(v3, a31);
      a32 = w2.fma(v3, a32);
      a33 = w3.fma(v3, a33);
    }
    a00.intoArray(scratch, accAt + 0 * n);
    a01.intoArray(scratch, accAt + 1 * n);
    a02.intoArray(scratch, accAt + 2 * n);
    a03.intoArray(scratch, accAt + 3 * n);
    a10.intoArray(scratch, accAt + 4 * n);
    a11.intoArray(scratch, accAt + 5 * n);
    a12.intoArray(scratch, accAt + 6 * n);
    a13.intoArray(scratch, accAt + 7 * n);
    a20.intoArray(scratch, accAt + 8 * n);
    a21.intoArray(scratch, accAt + 9 * n);
    a22.intoArray(scratch, accAt + 10 * n);
    a23.intoArray(scratch, accAt + 11 * n);
    a30.intoArray(scratch, accAt + 12 * n);
    a31.intoArray(scratch, accAt + 13 * n);
    a32.intoArray(scratch, accAt + 14 * n);
    a33.intoArray(scratch, accAt + 15 * n);
  }

  private static void tile2(
      float[] x, int xAt, int xStride, float[] scratch, int count, int accAt, boolean add) {
    int n = SPECIES.length();
    int x0 = xAt + 0 * xStride;
    int x1 = xAt + 1 * xStride;
    FloatVector a00, a01, a02, a03;
    FloatVector a10, a11, a12, a13;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, scratch, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, scratch, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, scratch, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, scratch, accAt + 3 * n);
      a10 = FloatVector.fromArray(SPECIES, scratch, accAt + 4 * n);
      a11 = FloatVector.fromArray(SPECIES, scratch, accAt + 5 * n);
      a12 = FloatVector.fromArray(SPECIES, scratch, accAt + 6 * n);
      a13 = FloatVector.fromArray(SPECIES, scratch, accAt + 7 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a03 = zero;
      a10 = zero;
      a11 = zero;
      a12 = zero;
      a13 = zero;
    }
    for (int i = 0; i < count; i++) {
      FloatVector w0 = FloatVector.fromArray(SPECIES, scratch, 0 * CHUNK + i * n);
      FloatVector w1 = FloatVector.fromArray(SPECIES, scratch, 1 * CHUNK + i * n);
      FloatVector w2 = FloatVector.fromArray(SPECIES, scratch, 2 * CHUNK + i * n);
      FloatVector w3 = FloatVector.fromArray(SPECIES, scratch, 3 * CHUNK + i * n);
      FloatVector v0 = FloatVector.fromArray(SPECIES, x, x0 + i * n);
      a00 = w0.fma(v0, a00);
      a01 = w1.fma(v0, a01);
      a02 = w2.fma(v0, a02);
      a03 = w3.fma(v0, a03);
      FloatVector v1 = FloatVector.fromArray(SPECIES, x, x1 + i * n);
      a10 = w0.fma(v1, a10);
      a11 = w1.fma(v1, a11);
      a12 = w2.fma(v1, a12);
      a13 = w3.fma(v1, a13);
    }
    a00.intoArray(scratch, accAt + 0 * n);
    a01.intoArray(scratch, accAt + 1 * n);
    a02.intoArray(scratch, accAt + 2 * n);
    a03.intoArray(scratch, accAt + 3 * n);
    a10.intoArray(scratch, accAt + 4 * n);
    a11.intoArray(scratch, accAt + 5 * n);
    a12.intoArray(scratch, accAt + 6 * n);
    a13.intoArray(scratch, accAt + 7 * n);
  }

  private static void tile1(
      float[] x, int xAt, float[] scratch, int count, int accAt, boolean add) {
    int n = SPECIES.length();
    int x0 = xAt;
    FloatVector a00, a01, a02, a03;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, scratch, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, scratch, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, scratch, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, scratch, accAt + 3 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a03 = zero;
    }
    for (int i = 0; i < count; i++) {
      FloatVector w0 = FloatVector.fromArray(SPECIES, scratch, 0 * CHUNK + i * n);
      FloatVector w1 = FloatVector.fromArray(SPECIES, scratch, 1 * CHUNK + i * n);
      FloatVector w2 = FloatVector.fromArray(SPECIES, scratch, 2 * CHUNK + i * n);
      FloatVector w3 = FloatVector.fromArray(SPECIES, scratch, 3 * CHUNK + i * n);
      FloatVector v0 = FloatVector.fromArray(SPECIES, x, x0 + i * n);
      a00 = w0.fma(v0, a00);
      a01 = w1.fma(v0, a01);
      a02 = w2.fma(v0, a02);
      a03 = w3.fma(v0, a03);
    }
    a00.intoArray(scratch, accAt + 0 * n);
    a01.intoArray(scratch, accAt + 1 * n);
    a02.intoArray(scratch, accAt + 2 * n);
    a03.intoArray(scratch, accAt + 3 * n);
  }
}
