package io.minigpt4.train;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * What a run does.
 *
 * @param rate the schedule, which also says how many epochs and iterations there are
 * @param batchSize samples per iteration and process
 * @param accumulate iterations whose gradients are summed before an update
 * @param logEvery iterations between lines of the log
 * @param saveEvery iterations between checkpoints within an epoch; 0 for none
 * @param output folder of checkpoints and logs
 * @param config the configuration as plain maps, lists and scalars, for log and checkpoints
 */
public record TrainingPlan(
    LearningRate rate,
    int batchSize,
    int accumulate,
    int logEvery,
    int saveEvery,
    Path output,
    @Nullable Object config) {

  /** The checkpoint after an epoch. */
  public Path epochFile(int epoch) {
    return output.resolve("checkpoint_" + epoch + ".pth");
  }

  /** The checkpoint within an epoch. */
  public Path latestFile() {
    return output.resolve("checkpoint_latest.pth");
  }
}
