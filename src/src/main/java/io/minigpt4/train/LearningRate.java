package io.minigpt4.train;

/**
 * The schedule {@code linear_warmup_cosine_lr}, set anew at every iteration: a linear warm-up, then
 * half a cosine over all iterations (Loshchilov and Hutter 2017, without restarts). As in the
 * Python version the warm-up counts iterations within the epoch: one that is longer than an epoch
 * starts anew with each epoch that it reaches into.
 *
 * @param initial rate at the end of the warm-up
 * @param minimum rate at the end of training
 * @param warmup rate at the start
 * @param warmupSteps iterations of warm-up
 * @param epochs all epochs
 * @param iterationsPerEpoch iterations of one
 */
public record LearningRate(
    double initial,
    double minimum,
    double warmup,
    int warmupSteps,
    int epochs,
    int iterationsPerEpoch) {

  /**
   * The rate of one iteration.
   *
   * @param epoch counted from 0
   * @param iteration within the epoch, counted from 0
   */
  public double at(int epoch, int iteration) {
    long total = (long) epoch * iterationsPerEpoch + iteration;
    if (total < warmupSteps) {
      return Math.min(initial, warmup + (initial - warmup) * iteration / Math.max(warmupSteps, 1));
    }
    double all = (double) epochs * iterationsPerEpoch;
    return (initial - minimum) * 0.5 * (1 + Math.cos(Math.PI * total / all)) + minimum;
  }
}
