package io.minigpt4.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels#tile}, written out for each width, because C2 keeps sums in registers only as
 * local variables. Four rows of six vectors are 24 sums; with six vectors of x and a broadcast they
 * fill the 32 registers of AVX-512 and NEON. AVX2 has 16 registers: two vectors there. Every index
 * is a loop counter times a constant plus something invariant, or range checks would stay in the
 * loop.
 *
 * <p>The arrays are on the heap on purpose: with as many accesses through memory segments a method
 * passes C2's node limit for inlining, and vectors are then boxed.
 */
final class VectorTiles {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();

  /** The most vectors of {@link #tile}. */
  static final int MAX_VECTORS = N == 8 ? 2 : 6;

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
      case 4 -> tile4(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 5 -> tile5(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      case 6 -> tile6(x, xAt, w, wAt, wStride, k, acc, accAt, add);
      default -> throw new IllegalArgumentException("no tile of " + vectors + " vectors");
    }
  }

  private static void tile1(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00;
    FloatVector a10;
    FloatVector a20;
    FloatVector a30;
    if (add) {
      a00 = load(acc, accAt);
      a10 = load(acc, accAt + N);
      a20 = load(acc, accAt + 2 * N);
      a30 = load(acc, accAt + 3 * N);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a10 = zero;
      a20 = zero;
      a30 = zero;
    }
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (1 * N));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
      a00 = x0.fma(b0, a00);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
    }
    a00.intoArray(acc, accAt);
    a10.intoArray(acc, accAt + N);
    a20.intoArray(acc, accAt + 2 * N);
    a30.intoArray(acc, accAt + 3 * N);
  }

  private static void tile2(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00, a01;
    FloatVector a10, a11;
    FloatVector a20, a21;
    FloatVector a30, a31;
    if (add) {
      a00 = load(acc, accAt);
      a01 = load(acc, accAt + N);
      a10 = load(acc, accAt + 2 * N);
      a11 = load(acc, accAt + 3 * N);
      a20 = load(acc, accAt + 4 * N);
      a21 = load(acc, accAt + 5 * N);
      a30 = load(acc, accAt + 6 * N);
      a31 = load(acc, accAt + 7 * N);
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
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (2 * N));
      FloatVector x1 = load(x, xAt + i * (2 * N) + N);
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
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
    }
    a00.intoArray(acc, accAt);
    a01.intoArray(acc, accAt + N);
    a10.intoArray(acc, accAt + 2 * N);
    a11.intoArray(acc, accAt + 3 * N);
    a20.intoArray(acc, accAt + 4 * N);
    a21.intoArray(acc, accAt + 5 * N);
    a30.intoArray(acc, accAt + 6 * N);
    a31.intoArray(acc, accAt + 7 * N);
  }

  private static void tile3(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00, a01, a02;
    FloatVector a10, a11, a12;
    FloatVector a20, a21, a22;
    FloatVector a30, a31, a32;
    if (add) {
      a00 = load(acc, accAt);
      a01 = load(acc, accAt + N);
      a02 = load(acc, accAt + 2 * N);
      a10 = load(acc, accAt + 3 * N);
      a11 = load(acc, accAt + 4 * N);
      a12 = load(acc, accAt + 5 * N);
      a20 = load(acc, accAt + 6 * N);
      a21 = load(acc, accAt + 7 * N);
      a22 = load(acc, accAt + 8 * N);
      a30 = load(acc, accAt + 9 * N);
      a31 = load(acc, accAt + 10 * N);
      a32 = load(acc, accAt + 11 * N);
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
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (3 * N));
      FloatVector x1 = load(x, xAt + i * (3 * N) + N);
      FloatVector x2 = load(x, xAt + i * (3 * N) + 2 * N);
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
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
    }
    a00.intoArray(acc, accAt);
    a01.intoArray(acc, accAt + N);
    a02.intoArray(acc, accAt + 2 * N);
    a10.intoArray(acc, accAt + 3 * N);
    a11.intoArray(acc, accAt + 4 * N);
    a12.intoArray(acc, accAt + 5 * N);
    a20.intoArray(acc, accAt + 6 * N);
    a21.intoArray(acc, accAt + 7 * N);
    a22.intoArray(acc, accAt + 8 * N);
    a30.intoArray(acc, accAt + 9 * N);
    a31.intoArray(acc, accAt + 10 * N);
    a32.intoArray(acc, accAt + 11 * N);
  }

  private static void tile4(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00, a01, a02, a03;
    FloatVector a10, a11, a12, a13;
    FloatVector a20, a21, a22, a23;
    FloatVector a30, a31, a32, a33;
    if (add) {
      a00 = load(acc, accAt);
      a01 = load(acc, accAt + N);
      a02 = load(acc, accAt + 2 * N);
      a03 = load(acc, accAt + 3 * N);
      a10 = load(acc, accAt + 4 * N);
      a11 = load(acc, accAt + 5 * N);
      a12 = load(acc, accAt + 6 * N);
      a13 = load(acc, accAt + 7 * N);
      a20 = load(acc, accAt + 8 * N);
      a21 = load(acc, accAt + 9 * N);
      a22 = load(acc, accAt + 10 * N);
      a23 = load(acc, accAt + 11 * N);
      a30 = load(acc, accAt + 12 * N);
      a31 = load(acc, accAt + 13 * N);
      a32 = load(acc, accAt + 14 * N);
      a33 = load(acc, accAt + 15 * N);
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
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (4 * N));
      FloatVector x1 = load(x, xAt + i * (4 * N) + N);
      FloatVector x2 = load(x, xAt + i * (4 * N) + 2 * N);
      FloatVector x3 = load(x, xAt + i * (4 * N) + 3 * N);
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
      a00 = x0.fma(b0, a00);
      a01 = x1.fma(b0, a01);
      a02 = x2.fma(b0, a02);
      a03 = x3.fma(b0, a03);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      a11 = x1.fma(b1, a11);
      a12 = x2.fma(b1, a12);
      a13 = x3.fma(b1, a13);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      a21 = x1.fma(b2, a21);
      a22 = x2.fma(b2, a22);
      a23 = x3.fma(b2, a23);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      a31 = x1.fma(b3, a31);
      a32 = x2.fma(b3, a32);
      a33 = x3.fma(b3, a33);
    }
    a00.intoArray(acc, accAt);
    a01.intoArray(acc, accAt + N);
    a02.intoArray(acc, accAt + 2 * N);
    a03.intoArray(acc, accAt + 3 * N);
    a10.intoArray(acc, accAt + 4 * N);
    a11.intoArray(acc, accAt + 5 * N);
    a12.intoArray(acc, accAt + 6 * N);
    a13.intoArray(acc, accAt + 7 * N);
    a20.intoArray(acc, accAt + 8 * N);
    a21.intoArray(acc, accAt + 9 * N);
    a22.intoArray(acc, accAt + 10 * N);
    a23.intoArray(acc, accAt + 11 * N);
    a30.intoArray(acc, accAt + 12 * N);
    a31.intoArray(acc, accAt + 13 * N);
    a32.intoArray(acc, accAt + 14 * N);
    a33.intoArray(acc, accAt + 15 * N);
  }

  private static void tile5(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00, a01, a02, a03, a04;
    FloatVector a10, a11, a12, a13, a14;
    FloatVector a20, a21, a22, a23, a24;
    FloatVector a30, a31, a32, a33, a34;
    if (add) {
      a00 = load(acc, accAt);
      a01 = load(acc, accAt + N);
      a02 = load(acc, accAt + 2 * N);
      a03 = load(acc, accAt + 3 * N);
      a04 = load(acc, accAt + 4 * N);
      a10 = load(acc, accAt + 5 * N);
      a11 = load(acc, accAt + 6 * N);
      a12 = load(acc, accAt + 7 * N);
      a13 = load(acc, accAt + 8 * N);
      a14 = load(acc, accAt + 9 * N);
      a20 = load(acc, accAt + 10 * N);
      a21 = load(acc, accAt + 11 * N);
      a22 = load(acc, accAt + 12 * N);
      a23 = load(acc, accAt + 13 * N);
      a24 = load(acc, accAt + 14 * N);
      a30 = load(acc, accAt + 15 * N);
      a31 = load(acc, accAt + 16 * N);
      a32 = load(acc, accAt + 17 * N);
      a33 = load(acc, accAt + 18 * N);
      a34 = load(acc, accAt + 19 * N);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a03 = zero;
      a04 = zero;
      a10 = zero;
      a11 = zero;
      a12 = zero;
      a13 = zero;
      a14 = zero;
      a20 = zero;
      a21 = zero;
      a22 = zero;
      a23 = zero;
      a24 = zero;
      a30 = zero;
      a31 = zero;
      a32 = zero;
      a33 = zero;
      a34 = zero;
    }
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (5 * N));
      FloatVector x1 = load(x, xAt + i * (5 * N) + N);
      FloatVector x2 = load(x, xAt + i * (5 * N) + 2 * N);
      FloatVector x3 = load(x, xAt + i * (5 * N) + 3 * N);
      FloatVector x4 = load(x, xAt + i * (5 * N) + 4 * N);
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
      a00 = x0.fma(b0, a00);
      a01 = x1.fma(b0, a01);
      a02 = x2.fma(b0, a02);
      a03 = x3.fma(b0, a03);
      a04 = x4.fma(b0, a04);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      a11 = x1.fma(b1, a11);
      a12 = x2.fma(b1, a12);
      a13 = x3.fma(b1, a13);
      a14 = x4.fma(b1, a14);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      a21 = x1.fma(b2, a21);
      a22 = x2.fma(b2, a22);
      a23 = x3.fma(b2, a23);
      a24 = x4.fma(b2, a24);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      a31 = x1.fma(b3, a31);
      a32 = x2.fma(b3, a32);
      a33 = x3.fma(b3, a33);
      a34 = x4.fma(b3, a34);
    }
    a00.intoArray(acc, accAt);
    a01.intoArray(acc, accAt + N);
    a02.intoArray(acc, accAt + 2 * N);
    a03.intoArray(acc, accAt + 3 * N);
    a04.intoArray(acc, accAt + 4 * N);
    a10.intoArray(acc, accAt + 5 * N);
    a11.intoArray(acc, accAt + 6 * N);
    a12.intoArray(acc, accAt + 7 * N);
    a13.intoArray(acc, accAt + 8 * N);
    a14.intoArray(acc, accAt + 9 * N);
    a20.intoArray(acc, accAt + 10 * N);
    a21.intoArray(acc, accAt + 11 * N);
    a22.intoArray(acc, accAt + 12 * N);
    a23.intoArray(acc, accAt + 13 * N);
    a24.intoArray(acc, accAt + 14 * N);
    a30.intoArray(acc, accAt + 15 * N);
    a31.intoArray(acc, accAt + 16 * N);
    a32.intoArray(acc, accAt + 17 * N);
    a33.intoArray(acc, accAt + 18 * N);
    a34.intoArray(acc, accAt + 19 * N);
  }

  private static void tile6(
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int w1 = wAt + wStride;
    int w2 = wAt + 2 * wStride;
    int w3 = wAt + 3 * wStride;
    FloatVector a00, a01, a02, a03, a04, a05;
    FloatVector a10, a11, a12, a13, a14, a15;
    FloatVector a20, a21, a22, a23, a24, a25;
    FloatVector a30, a31, a32, a33, a34, a35;
    if (add) {
      a00 = load(acc, accAt);
      a01 = load(acc, accAt + N);
      a02 = load(acc, accAt + 2 * N);
      a03 = load(acc, accAt + 3 * N);
      a04 = load(acc, accAt + 4 * N);
      a05 = load(acc, accAt + 5 * N);
      a10 = load(acc, accAt + 6 * N);
      a11 = load(acc, accAt + 7 * N);
      a12 = load(acc, accAt + 8 * N);
      a13 = load(acc, accAt + 9 * N);
      a14 = load(acc, accAt + 10 * N);
      a15 = load(acc, accAt + 11 * N);
      a20 = load(acc, accAt + 12 * N);
      a21 = load(acc, accAt + 13 * N);
      a22 = load(acc, accAt + 14 * N);
      a23 = load(acc, accAt + 15 * N);
      a24 = load(acc, accAt + 16 * N);
      a25 = load(acc, accAt + 17 * N);
      a30 = load(acc, accAt + 18 * N);
      a31 = load(acc, accAt + 19 * N);
      a32 = load(acc, accAt + 20 * N);
      a33 = load(acc, accAt + 21 * N);
      a34 = load(acc, accAt + 22 * N);
      a35 = load(acc, accAt + 23 * N);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a00 = zero;
      a01 = zero;
      a02 = zero;
      a03 = zero;
      a04 = zero;
      a05 = zero;
      a10 = zero;
      a11 = zero;
      a12 = zero;
      a13 = zero;
      a14 = zero;
      a15 = zero;
      a20 = zero;
      a21 = zero;
      a22 = zero;
      a23 = zero;
      a24 = zero;
      a25 = zero;
      a30 = zero;
      a31 = zero;
      a32 = zero;
      a33 = zero;
      a34 = zero;
      a35 = zero;
    }
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + i * (6 * N));
      FloatVector x1 = load(x, xAt + i * (6 * N) + N);
      FloatVector x2 = load(x, xAt + i * (6 * N) + 2 * N);
      FloatVector x3 = load(x, xAt + i * (6 * N) + 3 * N);
      FloatVector x4 = load(x, xAt + i * (6 * N) + 4 * N);
      FloatVector x5 = load(x, xAt + i * (6 * N) + 5 * N);
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[wAt + i]);
      a00 = x0.fma(b0, a00);
      a01 = x1.fma(b0, a01);
      a02 = x2.fma(b0, a02);
      a03 = x3.fma(b0, a03);
      a04 = x4.fma(b0, a04);
      a05 = x5.fma(b0, a05);
      FloatVector b1 = FloatVector.broadcast(SPECIES, w[w1 + i]);
      a10 = x0.fma(b1, a10);
      a11 = x1.fma(b1, a11);
      a12 = x2.fma(b1, a12);
      a13 = x3.fma(b1, a13);
      a14 = x4.fma(b1, a14);
      a15 = x5.fma(b1, a15);
      FloatVector b2 = FloatVector.broadcast(SPECIES, w[w2 + i]);
      a20 = x0.fma(b2, a20);
      a21 = x1.fma(b2, a21);
      a22 = x2.fma(b2, a22);
      a23 = x3.fma(b2, a23);
      a24 = x4.fma(b2, a24);
      a25 = x5.fma(b2, a25);
      FloatVector b3 = FloatVector.broadcast(SPECIES, w[w3 + i]);
      a30 = x0.fma(b3, a30);
      a31 = x1.fma(b3, a31);
      a32 = x2.fma(b3, a32);
      a33 = x3.fma(b3, a33);
      a34 = x4.fma(b3, a34);
      a35 = x5.fma(b3, a35);
    }
    a00.intoArray(acc, accAt);
    a01.intoArray(acc, accAt + N);
    a02.intoArray(acc, accAt + 2 * N);
    a03.intoArray(acc, accAt + 3 * N);
    a04.intoArray(acc, accAt + 4 * N);
    a05.intoArray(acc, accAt + 5 * N);
    a10.intoArray(acc, accAt + 6 * N);
    a11.intoArray(acc, accAt + 7 * N);
    a12.intoArray(acc, accAt + 8 * N);
    a13.intoArray(acc, accAt + 9 * N);
    a14.intoArray(acc, accAt + 10 * N);
    a15.intoArray(acc, accAt + 11 * N);
    a20.intoArray(acc, accAt + 12 * N);
    a21.intoArray(acc, accAt + 13 * N);
    a22.intoArray(acc, accAt + 14 * N);
    a23.intoArray(acc, accAt + 15 * N);
    a24.intoArray(acc, accAt + 16 * N);
    a25.intoArray(acc, accAt + 17 * N);
    a30.intoArray(acc, accAt + 18 * N);
    a31.intoArray(acc, accAt + 19 * N);
    a32.intoArray(acc, accAt + 20 * N);
    a33.intoArray(acc, accAt + 21 * N);
    a34.intoArray(acc, accAt + 22 * N);
    a35.intoArray(acc, accAt + 23 * N);
  }
}
