package io.minigpt4.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels#tile}, written out for each width, because C2 keeps sums in registers only as
 * local variables; the widths that need more than sixteen registers are in {@link VectorTilesWide}.
 * Four rows of six vectors are 24 sums; with six vectors of x and two broadcasts they fill the 32
 * registers of AVX-512 and NEON, four rows of three vectors the 16 of AVX2. Every index is a loop
 * counter times a constant plus something invariant, or range checks would stay in the loop.
 *
 * <p>Only these full tiles come near a core's peak: 97 % with AVX-512, 85 % with AVX2. A vector
 * register that is left over C2 takes for addresses, and moving them to and fro costs the two units
 * that multiply (50 to 75 %; the option -XX:-UseFPUForSpilling forbids it). So {@link Panels} makes
 * as many full panels as there can be.
 *
 * <p>The arrays are on the heap on purpose: with as many accesses through memory segments a method
 * passes C2's node limit for inlining, and vectors are then boxed.
 *
 * <p>The three counters that every loop keeps and every method returns, for no other use, and the
 * vector length in a local variable make the loop's body so large that C2 unrolls it just as often
 * as the registers allow. Without them the tile of six vectors reaches 131 instead of 165 GFLOP/s
 * on a core whose peak is 170 (JDK 25.0.3, Sapphire Rapids): {@code bench kernels} guards it.
 */
final class VectorTiles {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();

  /** The most vectors of {@link #tile}. */
  static final int MAX_VECTORS = N == 8 ? 3 : 6;

  private VectorTiles() {}

  private static FloatVector load(float[] from, int at) {
    return FloatVector.fromArray(SPECIES, from, at);
  }

  static void tile(
      int vectors,
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    switch (vectors) {
      case 1 -> tile1(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 2 -> tile2(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 3 -> tile3(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 4 -> VectorTilesWide.tile4(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 5 -> VectorTilesWide.tile5(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 6 -> VectorTilesWide.tile6(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      default -> throw new IllegalArgumentException("no tile of " + vectors + " vectors");
    }
  }

  private static long tile1(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int n = SPECIES.length();
    int w1 = wAt + 1 * wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    int w0 = wAt;
    FloatVector a00, a10, a20, a30;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a10 = zero;
      a20 = zero;
      a30 = zero;
    }
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (1 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
      a00 = x0.fma(b0, a00);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      xEnd += 1L * n;
      wEnd += step;
      next += 1 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a10.intoArray(acc, accAt + 1 * n);
    a20.intoArray(acc, accAt + 2 * n);
    a30.intoArray(acc, accAt + 3 * n);
    return xEnd + wEnd + next;
  }

  private static long tile2(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int n = SPECIES.length();
    int w1 = wAt + 1 * wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    int w0 = wAt;
    FloatVector a00, a01, a10, a11, a20, a21, a30, a31;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a11 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 4 * n);
      a21 = FloatVector.fromArray(SPECIES, acc, accAt + 5 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 6 * n);
      a31 = FloatVector.fromArray(SPECIES, acc, accAt + 7 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a10 = zero;
      a11 = zero;
      a20 = zero;
      a21 = zero;
      a30 = zero;
      a31 = zero;
    }
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (2 * n));
      FloatVector x1 = load(x, xAt + 1 * n + i * (2 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
      a00 = x0.fma(b0, a00);
      a01 = x1.fma(b0, a01);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      a11 = x1.fma(b1, a11);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      a21 = x1.fma(b2, a21);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      a31 = x1.fma(b3, a31);
      xEnd += 2L * n;
      wEnd += step;
      next += 2 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a01.intoArray(acc, accAt + 1 * n);
    a10.intoArray(acc, accAt + 2 * n);
    a11.intoArray(acc, accAt + 3 * n);
    a20.intoArray(acc, accAt + 4 * n);
    a21.intoArray(acc, accAt + 5 * n);
    a30.intoArray(acc, accAt + 6 * n);
    a31.intoArray(acc, accAt + 7 * n);
    return xEnd + wEnd + next;
  }

  private static long tile3(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int n = SPECIES.length();
    int w1 = wAt + 1 * wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    int w0 = wAt;
    FloatVector a00, a01, a02, a10, a11, a12, a20, a21, a22, a30, a31, a32;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
      a11 = FloatVector.fromArray(SPECIES, acc, accAt + 4 * n);
      a12 = FloatVector.fromArray(SPECIES, acc, accAt + 5 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 6 * n);
      a21 = FloatVector.fromArray(SPECIES, acc, accAt + 7 * n);
      a22 = FloatVector.fromArray(SPECIES, acc, accAt + 8 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 9 * n);
      a31 = FloatVector.fromArray(SPECIES, acc, accAt + 10 * n);
      a32 = FloatVector.fromArray(SPECIES, acc, accAt + 11 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a10 = zero;
      a11 = zero;
      a12 = zero;
      a20 = zero;
      a21 = zero;
      a22 = zero;
      a30 = zero;
      a31 = zero;
      a32 = zero;
    }
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (3 * n));
      FloatVector x1 = load(x, xAt + 1 * n + i * (3 * n));
      FloatVector x2 = load(x, xAt + 2 * n + i * (3 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
      a00 = x0.fma(b0, a00);
      a01 = x1.fma(b0, a01);
      a02 = x2.fma(b0, a02);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      a11 = x1.fma(b1, a11);
      a12 = x2.fma(b1, a12);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      a21 = x1.fma(b2, a21);
      a22 = x2.fma(b2, a22);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      a31 = x1.fma(b3, a31);
      a32 = x2.fma(b3, a32);
      xEnd += 3L * n;
      wEnd += step;
      next += 3 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a01.intoArray(acc, accAt + 1 * n);
    a02.intoArray(acc, accAt + 2 * n);
    a10.intoArray(acc, accAt + 3 * n);
    a11.intoArray(acc, accAt + 4 * n);
    a12.intoArray(acc, accAt + 5 * n);
    a20.intoArray(acc, accAt + 6 * n);
    a21.intoArray(acc, accAt + 7 * n);
    a22.intoArray(acc, accAt + 8 * n);
    a30.intoArray(acc, accAt + 9 * n);
    a31.intoArray(acc, accAt + 10 * n);
    a32.intoArray(acc, accAt + 11 * n);
    return xEnd + wEnd + next;
  }
}
