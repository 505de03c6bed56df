package io.minigpt4.image;

import java.util.Arrays;

/**
 * The coefficients of a macroblock (RFC 6386, sections 13 and 14): read from the tokens,
 * dequantised, transformed and added to the prediction.
 */
final class Vp8Residuals {
  private static final int BLOCKS = 24;
  private static final int DC_MARK = 8;

  // Types of blocks, as the probabilities are laid out.
  private static final int LUMA_AFTER_DC = 0;
  private static final int SECOND = 1;
  private static final int CHROMA = 2;
  private static final int LUMA = 3;

  /** Band of each coefficient position; one more for the position behind the last. */
  private static final int[] BANDS = {0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7, 0};

  private static final int[] ZIGZAG = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};

  /** Probabilities of the extra bits of large values. */
  private static final int[][] CATEGORIES = {
    {173, 148, 140},
    {176, 155, 140, 135},
    {180, 157, 141, 134, 130},
    {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}
  };

  private final int[] probabilities;
  private final short[] coefficients = new short[16 * BLOCKS];
  private final short[] second = new short[16];
  private final int[] work = new int[16];

  /**
   * @param probabilities laid out as {@link Vp8Tables#COEFFICIENT_PROBABILITIES}
   */
  Vp8Residuals(int[] probabilities) {
    this.probabilities = probabilities;
  }

  /**
   * Reads the coefficients of a macroblock.
   *
   * @param blocks whether luma is predicted in 4×4 blocks, which then have their own DC
   * @param top which blocks above have coefficients: from {@code at} 4 of luma, 2 and 2 of chroma,
   *     1 of luma's DC; updated
   * @param left the same to the left, from 0
   * @return whether anything is not zero
   */
  boolean read(
      Vp8Bits tokens, Vp8Quantiser q, boolean blocks, boolean[] top, int at, boolean[] left) {
    Arrays.fill(coefficients, (short) 0);
    boolean coded = false;
    int first = 0;
    if (!blocks) {
      first = 1;
      Arrays.fill(second, (short) 0);
      int context = count(top[at + DC_MARK], left[DC_MARK]);
      int end = readBlock(tokens, SECOND, context, q.secondDc, q.secondAc, 0, second, 0);
      top[at + DC_MARK] = end > 0;
      left[DC_MARK] = end > 0;
      spreadDc();
    }
    int type = blocks ? LUMA : LUMA_AFTER_DC;
    for (int i = 0; i < 16; i++) {
      int t = at + (i & 3);
      int l = i >> 2;
      int context = count(top[t], left[l]);
      int end = readBlock(tokens, type, context, q.lumaDc, q.lumaAc, first, coefficients, 16 * i);
      top[t] = end > first;
      left[l] = end > first;
      coded |= end > first || coefficients[16 * i] != 0;
    }
    for (int i = 16; i < BLOCKS; i++) {
      int mark = 4 + (i - 16) / 4 * 2;
      int t = at + mark + (i & 1);
      int l = mark + (i >> 1 & 1);
      int context = count(top[t], left[l]);
      int end = readBlock(tokens, CHROMA, context, q.chromaDc, q.chromaAc, 0, coefficients, 16 * i);
      top[t] = end > 0;
      left[l] = end > 0;
      coded |= end > 0;
    }
    return coded;
  }

  private static int count(boolean a, boolean b) {
    return (a ? 1 : 0) + (b ? 1 : 0);
  }

  /** Reads one block and returns the position behind its last coefficient. */
  private int readBlock(
      Vp8Bits in, int type, int context, int dc, int ac, int first, short[] out, int at) {
    int n = first;
    int p = index(type, n, context);
    while (n < 16) {
      if (in.bit(probabilities[p]) == 0) {
        return n;
      }
      while (in.bit(probabilities[p + 1]) == 0) {
        n++;
        if (n == 16) {
          return 16;
        }
        p = index(type, n, 0);
      }
      boolean one = in.bit(probabilities[p + 2]) == 0;
      int value = one ? 1 : readLarge(in, p);
      value = in.flag() ? -value : value;
      out[at + ZIGZAG[n]] = (short) (value * (n > 0 ? ac : dc));
      n++;
      p = index(type, n, one ? 1 : 2);
    }
    return 16;
  }

  private static int index(int type, int position, int context) {
    int band = type * Vp8Tables.BANDS + BANDS[position];
    return (band * Vp8Tables.CONTEXTS + context) * Vp8Tables.PROBABILITIES;
  }

  /** A value of 2 or more (section 13.2). */
  private int readLarge(Vp8Bits in, int p) {
    if (in.bit(probabilities[p + 3]) == 0) {
      if (in.bit(probabilities[p + 4]) == 0) {
        return 2;
      }
      return 3 + in.bit(probabilities[p + 5]);
    }
    if (in.bit(probabilities[p + 6]) == 0) {
      if (in.bit(probabilities[p + 7]) == 0) {
        return 5 + in.bit(159);
      }
      int high = in.bit(165);
      return 7 + 2 * high + in.bit(145);
    }
    int high = in.bit(probabilities[p + 8]);
    int category = 2 * high + in.bit(probabilities[p + 9 + high]);
    int value = 0;
    for (int probability : CATEGORIES[category]) {
      value = value << 1 | in.bit(probability);
    }
    return value + 3 + (8 << category);
  }

  /** The inverse Walsh–Hadamard transform (section 14.3): the DC coefficient of each luma block. */
  private void spreadDc() {
    for (int i = 0; i < 4; i++) {
      int a = second[i] + second[12 + i];
      int b = second[4 + i] + second[8 + i];
      int c = second[4 + i] - second[8 + i];
      int d = second[i] - second[12 + i];
      work[i] = a + b;
      work[4 + i] = d + c;
      work[8 + i] = a - b;
      work[12 + i] = d - c;
    }
    for (int i = 0; i < 4; i++) {
      int a = work[4 * i] + work[4 * i + 3] + 3;
      int b = work[4 * i + 1] + work[4 * i + 2];
      int c = work[4 * i + 1] - work[4 * i + 2];
      int d = work[4 * i] - work[4 * i + 3] + 3;
      coefficients[64 * i] = (short) ((a + b) >> 3);
      coefficients[64 * i + 16] = (short) ((d + c) >> 3);
      coefficients[64 * i + 32] = (short) ((a - b) >> 3);
      coefficients[64 * i + 48] = (short) ((d - c) >> 3);
    }
  }

  /** Adds the inverse cosine transform (section 14.4) of a block to the samples at an index. */
  void add(int block, Vp8Plane plane, int at) {
    int in = 16 * block;
    for (int i = 0; i < 4; i++) {
      int a = coefficients[in + i] + coefficients[in + 8 + i];
      int b = coefficients[in + i] - coefficients[in + 8 + i];
      int c = sine(coefficients[in + 4 + i]) - cosine(coefficients[in + 12 + i]);
      int d = cosine(coefficients[in + 4 + i]) + sine(coefficients[in + 12 + i]);
      work[4 * i] = a + d;
      work[4 * i + 1] = b + c;
      work[4 * i + 2] = b - c;
      work[4 * i + 3] = a - d;
    }
    for (int i = 0; i < 4; i++) {
      int a = work[i] + work[8 + i] + 4;
      int b = work[i] - work[8 + i] + 4;
      int c = sine(work[4 + i]) - cosine(work[12 + i]);
      int d = cosine(work[4 + i]) + sine(work[12 + i]);
      int to = at + i * plane.stride;
      store(plane, to, a + d);
      store(plane, to + 1, b + c);
      store(plane, to + 2, b - c);
      store(plane, to + 3, a - d);
    }
  }

  private static void store(Vp8Plane plane, int at, int difference) {
    plane.data[at] = (byte) Math.clamp(plane.get(at) + (difference >> 3), 0, 255);
  }

  /** Times √2·cos(π/8). */
  private static int cosine(int v) {
    return v + ((v * 20091) >> 16);
  }

  /** Times √2·sin(π/8). */
  private static int sine(int v) {
    return (v * 35468) >> 16;
  }
}
