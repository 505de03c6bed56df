package io.minigpt4.train;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How far a run is.
 *
 * @param epoch of the next iteration, from 0
 * @param iteration the next within the epoch, from 0
 * @param lossSum sum of the epoch's losses so far
 * @param data where the data of each process are, a line each; null to begin anew
 */
public record Progress(int epoch, int iteration, double lossSum, @Nullable String data) {
  /** The beginning. */
  public static final Progress START = new Progress(0, 0, 0, null);

  private static final String BETWEEN = "\n";

  /** What {@link #data} is for these places. */
  static String data(List<String> places) {
    return String.join(BETWEEN, places);
  }

  /**
   * Where one process's data are.
   *
   * @return null if it was saved by another number of processes, whose places do not fit
   */
  public @Nullable String dataOf(int rank, int ranks) {
    if (data == null) {
      return null;
    }
    String[] places = data.split(BETWEEN, -1);
    return places.length == ranks ? places[rank] : null;
  }
}
