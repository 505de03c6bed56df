package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * A random generator whose state is one number, so that a checkpoint can hold it: SplitMix64
 * (Steele, Lea and Flood 2014).
 */
public final class Dice implements RandomGenerator {
  private static final long GAMMA = 0x9E3779B97F4A7C15L;

  private long state;

  /**
   * @param state from {@link #state}, or any seed
   */
  public Dice(long state) {
    this.state = state;
  }

  /** One of many independent generators: that of a seed and a number. */
  public static Dice of(long seed, long number) {
    return new Dice(mix(mix(seed + GAMMA) + number * GAMMA));
  }

  /**
   * One whose state stands in a checkpoint.
   *
   * @throws UserException if it is no number of 64 bits
   */
  static Dice saved(String state) {
    try {
      return new Dice(Long.parseLong(state));
    } catch (NumberFormatException e) {
      throw new UserException("'" + state + "' is no state of a random generator", e);
    }
  }

  /** What the next numbers depend on. */
  public long state() {
    return state;
  }

  @Override
  public long nextLong() {
    state += GAMMA;
    return mix(state);
  }

  private static long mix(long value) {
    long z = (value ^ (value >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    return z ^ (z >>> 31);
  }

  /** Whether something of this probability happens. */
  public boolean chance(double probability) {
    return nextDouble() < probability;
  }

  /** One of several, all as likely. */
  public <T> T pick(List<T> of) {
    return of.get(nextInt(of.size()));
  }
}
