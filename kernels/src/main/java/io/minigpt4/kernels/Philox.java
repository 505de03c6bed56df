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
    int[] block = block((int) counter, (int) (counter >>> 32), 0, 0, seed);
    long bits = ((long) block[0] << 32) | Integer.toUnsignedLong(block[1]);
    return (bits >>> 11) * 0x1p-53;
  }

  /** Four random words for a counter of four words and a key of two, the lower one first. */
  static int[] block(int c0, int c1, int c2, int c3, long key) {
    int k0 = (int) key;
    int k1 = (int) (key >>> 32);
    int[] c = {c0, c1, c2, c3};
    for (int round = 0; round < 10; round++) {
      long a = 0xD2511F53L * Integer.toUnsignedLong(c[0]);
      long b = 0xCD9E8D57L * Integer.toUnsignedLong(c[2]);
      c = new int[] {(int) (b >>> 32) ^ c[1] ^ k0, (int) b, (int) (a >>> 32) ^ c[3] ^ k1, (int) a};
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    return c;
  }
}
