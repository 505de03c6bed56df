package io.minigpt4.kernels;

/**
 * The random numbers of {@link Sampling}: Philox4x32-10 (Salmon et al. 2011, "Parallel random
 * numbers: as easy as 1, 2, 3"). The i-th number follows from seed and i alone, so that a device
 * and a host can draw the same ones without passing a state on.
 */
public final class Philox {
  private Philox() {}

  /**
   * A number from [0, 1), a multiple of 2⁻⁵³.
   *
   * @param seed the key
   * @param counter which number
   */
  public static double uniform(long seed, long counter) {
    return (bits(seed, counter) >>> 11) * 0x1p-53;
  }

  /**
   * 64 random bits, of which {@link #uniform} takes the upper ones.
   *
   * @param seed the key
   * @param counter which number
   */
  public static long bits(long seed, long counter) {
    return words((int) counter, (int) (counter >>> 32), 0, 0, seed, true);
  }

  /**
   * Two of the four random words for a counter of four words and a key of two, the lower one first.
   *
   * @param first whether the first two or the others
   */
  static long words(int w0, int w1, int w2, int w3, long key, boolean first) {
    int k0 = (int) key;
    int k1 = (int) (key >>> 32);
    int c0 = w0;
    int c1 = w1;
    int c2 = w2;
    int c3 = w3;
    for (int round = 0; round < 10; round++) {
      long a = 0xD2511F53L * Integer.toUnsignedLong(c0);
      long b = 0xCD9E8D57L * Integer.toUnsignedLong(c2);
      c0 = (int) (b >>> 32) ^ c1 ^ k0;
      c1 = (int) b;
      c2 = (int) (a >>> 32) ^ c3 ^ k1;
      c3 = (int) a;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    int high = first ? c0 : c2;
    int low = first ? c1 : c3;
    return ((long) high << 32) | Integer.toUnsignedLong(low);
  }
}
