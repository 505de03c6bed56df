package io.minigpt4.kernels;

/** Arithmetic of launch shapes. */
final class Grids {
  /** Threads of a warp. */
  static final int WARP = 32;

  /** Elements that a thread handles at once. */
  static final int CHUNK = 8;

  private Grids() {}

  /** n / by, rounded up. */
  static long ceilDiv(long n, long by) {
    return (n + by - 1) / by;
  }

  /** Chunks in {@code n} elements, the last of which may be part of one. */
  static long chunks(long n) {
    return ceilDiv(n, CHUNK);
  }
}
