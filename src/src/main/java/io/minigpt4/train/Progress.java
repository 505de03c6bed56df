package io.minigpt4.train;

import org.jspecify.annotations.Nullable;

/**
 * How far a run is.
 *
 * @param epoch of the next iteration, from 0
 * @param iteration the next within the epoch, from 0
 * @param lossSum sum of the epoch's losses so far
 * @param data where the data are; null to begin anew
 */
public record Progress(int epoch, int iteration, double lossSum, @Nullable String data) {
  /** The beginning. */
  public static final Progress START = new Progress(0, 0, 0, null);
}
