package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
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
   * Demands that something is left to do.
   *
   * @param from the checkpoint that says so
   * @throws UserException if the run was at its end, or an epoch had more iterations than now
   */
  public void requireWithin(LearningRate rate, Path from) {
    if (epoch >= rate.epochs()) {
      throw new UserException(
          from
              + " was saved after "
              + epoch
              + " epochs, and this run has "
              + rate.epochs()
              + ": nothing is left to do; ask for more with --epochs or run.max_epoch");
    }
    if (iteration >= rate.iterationsPerEpoch()) {
      throw new UserException(
          from
              + " was saved after "
              + iteration
              + " iterations of an epoch, and this run's have "
              + rate.iterationsPerEpoch()
              + ": give --iterations or run.iters_per_epoch as it was");
    }
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
