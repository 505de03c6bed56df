package io.minigpt4.image;

/**
 * The inverse discrete cosine transform of 8×8 blocks in integers: the algorithm of Loeffler,
 * Ligtenberg and Moschytz (1989) with 13 fractional bits, rounded where the Independent JPEG
 * Group's accurate integer method rounds, so that the samples are the same to the bit.
 */
final class JpegIdct {
  private static final int CONST_BITS = 13;
  private static final int PASS1_BITS = 2;

  // Constants of the algorithm, times 2^13.
  private static final int F_0_298 = 2446;
  private static final int F_0_390 = 3196;
  private static final int F_0_541 = 4433;
  private static final int F_0_765 = 6270;
  private static final int F_0_899 = 7373;
  private static final int F_1_175 = 9633;
  private static final int F_1_501 = 12299;
  private static final int F_1_847 = 15137;
  private static final int F_1_961 = 16069;
  private static final int F_2_053 = 16819;
  private static final int F_2_562 = 20995;
  private static final int F_3_072 = 25172;

  private final int[] work = new int[64];

  /**
   * Dequantises and transforms one block.
   *
   * @param in 64 coefficients in natural order from {@code from}
   * @param quantiser 64 factors in natural order
   * @param out samples, written from {@code at} in rows {@code stride} apart
   */
  void transform(short[] in, int from, int[] quantiser, byte[] out, int at, int stride) {
    for (int i = 0; i < 64; i++) {
      work[i] = in[from + i] * quantiser[i];
    }
    for (int x = 0; x < 8; x++) {
      pass(x, 8, CONST_BITS - PASS1_BITS);
    }
    for (int y = 0; y < 8; y++) {
      pass(8 * y, 1, CONST_BITS + PASS1_BITS + 3);
      for (int x = 0; x < 8; x++) {
        out[at + y * stride + x] = (byte) Math.clamp(work[8 * y + x] + 128, 0, 255);
      }
    }
  }

  /** Transforms eight numbers of {@link #work}, {@code step} apart, in place. */
  private void pass(int at, int step, int shift) {
    int[] w = work;
    int z2 = w[at + 2 * step];
    int z3 = w[at + 6 * step];
    int z1 = (z2 + z3) * F_0_541;
    int even2 = z1 - z3 * F_1_847;
    int even3 = z1 + z2 * F_0_765;
    int even0 = (w[at] + w[at + 4 * step]) << CONST_BITS;
    int even1 = (w[at] - w[at + 4 * step]) << CONST_BITS;

    int odd0 = w[at + 7 * step];
    int odd1 = w[at + 5 * step];
    int odd2 = w[at + 3 * step];
    int odd3 = w[at + step];
    int sum = (odd0 + odd1 + odd2 + odd3) * F_1_175;
    int outer = -(odd0 + odd3) * F_0_899;
    int inner = -(odd1 + odd2) * F_2_562;
    int left = sum - (odd0 + odd2) * F_1_961;
    int right = sum - (odd1 + odd3) * F_0_390;
    odd0 = odd0 * F_0_298 + outer + left;
    odd1 = odd1 * F_2_053 + inner + right;
    odd2 = odd2 * F_3_072 + inner + left;
    odd3 = odd3 * F_1_501 + outer + right;

    int round = 1 << (shift - 1);
    w[at] = (even0 + even3 + odd3 + round) >> shift;
    w[at + 7 * step] = (even0 + even3 - odd3 + round) >> shift;
    w[at + step] = (even1 + even2 + odd2 + round) >> shift;
    w[at + 6 * step] = (even1 + even2 - odd2 + round) >> shift;
    w[at + 2 * step] = (even1 - even2 + odd1 + round) >> shift;
    w[at + 5 * step] = (even1 - even2 - odd1 + round) >> shift;
    w[at + 3 * step] = (even0 - even3 + odd0 + round) >> shift;
    w[at + 4 * step] = (even0 - even3 - odd0 + round) >> shift;
  }
}
