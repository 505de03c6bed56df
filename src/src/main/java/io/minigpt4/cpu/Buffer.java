package io.minigpt4.cpu;

/**
 * A float array that grows to the largest size asked for; its content does not survive that.
 *
 * <p>Vectors should not straddle cache lines, but the JVM aligns arrays to 8 bytes only. G1 places
 * arrays of at least half a region at the start of a region, 16 bytes of header before their
 * elements; {@link #START} then is the first element on a line of 64 bytes.
 */
final class Buffer {
  /** Index of the first element to use. */
  static final int START = 12;

  /** Floats that make an array large in the sense above, for regions of up to 8 MB. */
  static final int LARGE = 1 << 20;

  private float[] array;

  /**
   * A buffer of a first size.
   *
   * @param floats how many floats it has room for from {@link #START} on
   */
  Buffer(int floats) {
    array = new float[START + floats];
  }

  /**
   * An array with room for {@code floats} floats from {@link #START} on.
   *
   * @throws IllegalArgumentException if that is more than an array holds
   */
  float[] floats(long floats) {
    if (floats > array.length - START) {
      if (floats > Integer.MAX_VALUE / 2) {
        throw new IllegalArgumentException("a matrix is too large: " + floats + " elements");
      }
      array = new float[(int) (START + floats + floats / 4)];
    }
    return array;
  }

  static Buffer[] array(int n, int floats) {
    Buffer[] all = new Buffer[n];
    for (int i = 0; i < n; i++) {
      all[i] = new Buffer(floats);
    }
    return all;
  }
}
