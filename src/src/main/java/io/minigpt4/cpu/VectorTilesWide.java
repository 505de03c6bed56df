package io.minigpt4.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The tiles of {@link VectorTiles} that need the 32 registers of AVX-512 or NEON. */
final class VectorTilesWide {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;

  private VectorTilesWide() {}

  private static FloatVector load(float[] from, int at) {
    return FloatVector.fromArray(SPECIES, from, at);
  }

  static long tile4(
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
    FloatVector a00, a01, a02, a03, a10, a11, a12, a13, a20, a21, a22, a23, a30, a31, a32, a33;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 4 * n);
      a11 = FloatVector.fromArray(SPECIES, acc, accAt + 5 * n);
      a12 = FloatVector.fromArray(SPECIES, acc, accAt + 6 * n);
      a13 = FloatVector.fromArray(SPECIES, acc, accAt + 7 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 8 * n);
      a21 = FloatVector.fromArray(SPECIES, acc, accAt + 9 * n);
      a22 = FloatVector.fromArray(SPECIES, acc, accAt + 10 * n);
      a23 = FloatVector.fromArray(SPECIES, acc, accAt + 11 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 12 * n);
      a31 = FloatVector.fromArray(SPECIES, acc, accAt + 13 * n);
      a32 = FloatVector.fromArray(SPECIES, acc, accAt + 14 * n);
      a33 = FloatVector.fromArray(SPECIES, acc, accAt + 15 * n);
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
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (4 * n));
      FloatVector x1 = load(x, xAt + 1 * n + i * (4 * n));
      FloatVector x2 = load(x, xAt + 2 * n + i * (4 * n));
      FloatVector x3 = load(x, xAt + 3 * n + i * (4 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
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
      xEnd += 4L * n;
      wEnd += step;
      next += 4 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a01.intoArray(acc, accAt + 1 * n);
    a02.intoArray(acc, accAt + 2 * n);
    a03.intoArray(acc, accAt + 3 * n);
    a10.intoArray(acc, accAt + 4 * n);
    a11.intoArray(acc, accAt + 5 * n);
    a12.intoArray(acc, accAt + 6 * n);
    a13.intoArray(acc, accAt + 7 * n);
    a20.intoArray(acc, accAt + 8 * n);
    a21.intoArray(acc, accAt + 9 * n);
    a22.intoArray(acc, accAt + 10 * n);
    a23.intoArray(acc, accAt + 11 * n);
    a30.intoArray(acc, accAt + 12 * n);
    a31.intoArray(acc, accAt + 13 * n);
    a32.intoArray(acc, accAt + 14 * n);
    a33.intoArray(acc, accAt + 15 * n);
    return xEnd + wEnd + next;
  }

  static long tile5(
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
    FloatVector a00,
        a01,
        a02,
        a03,
        a04,
        a10,
        a11,
        a12,
        a13,
        a14,
        a20,
        a21,
        a22,
        a23,
        a24,
        a30,
        a31,
        a32,
        a33,
        a34;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
      a04 = FloatVector.fromArray(SPECIES, acc, accAt + 4 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 5 * n);
      a11 = FloatVector.fromArray(SPECIES, acc, accAt + 6 * n);
      a12 = FloatVector.fromArray(SPECIES, acc, accAt + 7 * n);
      a13 = FloatVector.fromArray(SPECIES, acc, accAt + 8 * n);
      a14 = FloatVector.fromArray(SPECIES, acc, accAt + 9 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 10 * n);
      a21 = FloatVector.fromArray(SPECIES, acc, accAt + 11 * n);
      a22 = FloatVector.fromArray(SPECIES, acc, accAt + 12 * n);
      a23 = FloatVector.fromArray(SPECIES, acc, accAt + 13 * n);
      a24 = FloatVector.fromArray(SPECIES, acc, accAt + 14 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 15 * n);
      a31 = FloatVector.fromArray(SPECIES, acc, accAt + 16 * n);
      a32 = FloatVector.fromArray(SPECIES, acc, accAt + 17 * n);
      a33 = FloatVector.fromArray(SPECIES, acc, accAt + 18 * n);
      a34 = FloatVector.fromArray(SPECIES, acc, accAt + 19 * n);
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
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (5 * n));
      FloatVector x1 = load(x, xAt + 1 * n + i * (5 * n));
      FloatVector x2 = load(x, xAt + 2 * n + i * (5 * n));
      FloatVector x3 = load(x, xAt + 3 * n + i * (5 * n));
      FloatVector x4 = load(x, xAt + 4 * n + i * (5 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
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
      xEnd += 5L * n;
      wEnd += step;
      next += 5 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a01.intoArray(acc, accAt + 1 * n);
    a02.intoArray(acc, accAt + 2 * n);
    a03.intoArray(acc, accAt + 3 * n);
    a04.intoArray(acc, accAt + 4 * n);
    a10.intoArray(acc, accAt + 5 * n);
    a11.intoArray(acc, accAt + 6 * n);
    a12.intoArray(acc, accAt + 7 * n);
    a13.intoArray(acc, accAt + 8 * n);
    a14.intoArray(acc, accAt + 9 * n);
    a20.intoArray(acc, accAt + 10 * n);
    a21.intoArray(acc, accAt + 11 * n);
    a22.intoArray(acc, accAt + 12 * n);
    a23.intoArray(acc, accAt + 13 * n);
    a24.intoArray(acc, accAt + 14 * n);
    a30.intoArray(acc, accAt + 15 * n);
    a31.intoArray(acc, accAt + 16 * n);
    a32.intoArray(acc, accAt + 17 * n);
    a33.intoArray(acc, accAt + 18 * n);
    a34.intoArray(acc, accAt + 19 * n);
    return xEnd + wEnd + next;
  }

  static long tile6(
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
    FloatVector a00,
        a01,
        a02,
        a03,
        a04,
        a05,
        a10,
        a11,
        a12,
        a13,
        a14,
        a15,
        a20,
        a21,
        a22,
        a23,
        a24,
        a25,
        a30,
        a31,
        a32,
        a33,
        a34,
        a35;
    if (add) {
      a00 = FloatVector.fromArray(SPECIES, acc, accAt + 0 * n);
      a01 = FloatVector.fromArray(SPECIES, acc, accAt + 1 * n);
      a02 = FloatVector.fromArray(SPECIES, acc, accAt + 2 * n);
      a03 = FloatVector.fromArray(SPECIES, acc, accAt + 3 * n);
      a04 = FloatVector.fromArray(SPECIES, acc, accAt + 4 * n);
      a05 = FloatVector.fromArray(SPECIES, acc, accAt + 5 * n);
      a10 = FloatVector.fromArray(SPECIES, acc, accAt + 6 * n);
      a11 = FloatVector.fromArray(SPECIES, acc, accAt + 7 * n);
      a12 = FloatVector.fromArray(SPECIES, acc, accAt + 8 * n);
      a13 = FloatVector.fromArray(SPECIES, acc, accAt + 9 * n);
      a14 = FloatVector.fromArray(SPECIES, acc, accAt + 10 * n);
      a15 = FloatVector.fromArray(SPECIES, acc, accAt + 11 * n);
      a20 = FloatVector.fromArray(SPECIES, acc, accAt + 12 * n);
      a21 = FloatVector.fromArray(SPECIES, acc, accAt + 13 * n);
      a22 = FloatVector.fromArray(SPECIES, acc, accAt + 14 * n);
      a23 = FloatVector.fromArray(SPECIES, acc, accAt + 15 * n);
      a24 = FloatVector.fromArray(SPECIES, acc, accAt + 16 * n);
      a25 = FloatVector.fromArray(SPECIES, acc, accAt + 17 * n);
      a30 = FloatVector.fromArray(SPECIES, acc, accAt + 18 * n);
      a31 = FloatVector.fromArray(SPECIES, acc, accAt + 19 * n);
      a32 = FloatVector.fromArray(SPECIES, acc, accAt + 20 * n);
      a33 = FloatVector.fromArray(SPECIES, acc, accAt + 21 * n);
      a34 = FloatVector.fromArray(SPECIES, acc, accAt + 22 * n);
      a35 = FloatVector.fromArray(SPECIES, acc, accAt + 23 * n);
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
    long xEnd = xAt;
    long wEnd = wAt;
    int next = xAt;
    long step = wStride * 4L;
    for (int i = 0; i < k; i++) {
      FloatVector x0 = load(x, xAt + 0 * n + i * (6 * n));
      FloatVector x1 = load(x, xAt + 1 * n + i * (6 * n));
      FloatVector x2 = load(x, xAt + 2 * n + i * (6 * n));
      FloatVector x3 = load(x, xAt + 3 * n + i * (6 * n));
      FloatVector x4 = load(x, xAt + 4 * n + i * (6 * n));
      FloatVector x5 = load(x, xAt + 5 * n + i * (6 * n));
      FloatVector b0 = FloatVector.broadcast(SPECIES, w[w0 + i]);
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
      xEnd += 6L * n;
      wEnd += step;
      next += 6 * n;
    }
    a00.intoArray(acc, accAt + 0 * n);
    a01.intoArray(acc, accAt + 1 * n);
    a02.intoArray(acc, accAt + 2 * n);
    a03.intoArray(acc, accAt + 3 * n);
    a04.intoArray(acc, accAt + 4 * n);
    a05.intoArray(acc, accAt + 5 * n);
    a10.intoArray(acc, accAt + 6 * n);
    a11.intoArray(acc, accAt + 7 * n);
    a12.intoArray(acc, accAt + 8 * n);
    a13.intoArray(acc, accAt + 9 * n);
    a14.intoArray(acc, accAt + 10 * n);
    a15.intoArray(acc, accAt + 11 * n);
    a20.intoArray(acc, accAt + 12 * n);
    a21.intoArray(acc, accAt + 13 * n);
    a22.intoArray(acc, accAt + 14 * n);
    a23.intoArray(acc, accAt + 15 * n);
    a24.intoArray(acc, accAt + 16 * n);
    a25.intoArray(acc, accAt + 17 * n);
    a30.intoArray(acc, accAt + 18 * n);
    a31.intoArray(acc, accAt + 19 * n);
    a32.intoArray(acc, accAt + 20 * n);
    a33.intoArray(acc, accAt + 21 * n);
    a34.intoArray(acc, accAt + 22 * n);
    a35.intoArray(acc, accAt + 23 * n);
    return xEnd + wEnd + next;
  }
}
