package io.minigpt4.train;

import java.nio.file.Path;

/** Is told how training goes, on the thread that trains. */
public interface TrainingListener {
  /** After each iteration. */
  default void iteration(IterationReport report) {}

  /** After each epoch, when its checkpoint is written. */
  default void epoch(int epoch, double meanLoss, double learningRate, Path checkpoint) {}

  /** Asked after each iteration: whether to save and stop. */
  default boolean stopped() {
    return false;
  }

  /**
   * One iteration.
   *
   * @param epoch from 0
   * @param iteration within the epoch, from 0
   * @param step iterations of the whole run, this one included
   * @param steps all of them
   * @param loss mean over the batches of all processes
   * @param learningRate used in it
   * @param lossScale used in it
   * @param performance how fast it was
   * @param skippedSamples broken samples so far
   * @param updateSkipped whether a gradient was not finite
   */
  record IterationReport(
      int epoch,
      int iteration,
      long step,
      long steps,
      double loss,
      double learningRate,
      double lossScale,
      Performance performance,
      long skippedSamples,
      boolean updateSkipped) {}
}
