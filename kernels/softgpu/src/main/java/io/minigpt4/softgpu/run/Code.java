package io.minigpt4.softgpu.run;

/** Compiled stretches of a kernel. */
public abstract class Code {
  /** All lanes have ended. */
  public static final int EXIT = -1;

  /** The lanes that ran do not all wait at the same node. */
  public static final int MIXED = -2;

  /**
   * Runs the lanes of {@code mask}, one after another, from just behind node {@code after} to the
   * node where each must wait; leaves that in {@link Warp#pc}.
   *
   * @return the node where all of them wait, or {@link #EXIT}, or {@link #MIXED}
   */
  public abstract int run(int after, Warp warp, int mask);
}
