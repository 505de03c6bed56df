package io.minigpt4.train;

import io.minigpt4.distributed.Collective;
import io.minigpt4.tensor.Workspace;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The training loop: epochs of iterations, the rate set at each, checkpoints after each epoch,
 * every so many iterations and when it is stopped.
 */
public final class TrainingRun {
  private final ProjectionTrainer trainer;
  private final QueryRows rows;
  private final Batches data;
  private final TrainingPlan plan;
  private final Collective ranks;
  private final TrainingListener listener;
  private final PerformanceMeter meter;
  private double lossSum;
  private double learningRate;
  private @Nullable Path lastSaved;

  /** Puts a run together. */
  public TrainingRun(
      ProjectionTrainer trainer,
      QueryRows rows,
      Batches data,
      TrainingPlan plan,
      Collective ranks,
      TrainingListener listener) {
    this.trainer = trainer;
    this.rows = rows;
    this.data = data;
    this.plan = plan;
    this.ranks = ranks;
    this.listener = listener;
    this.meter = new PerformanceMeter(trainer);
  }

  /**
   * Trains.
   *
   * @param from where to begin
   * @return whether it came to its end; false if it was stopped, with its state saved
   * @throws DivergedException if the loss is not finite, in all processes alike
   * @throws io.minigpt4.tensor.UserException if a checkpoint cannot be written
   * @throws InterruptedException if the thread is interrupted while it waits for data
   */
  public boolean run(Progress from) throws InterruptedException {
    LearningRate schedule = plan.rate();
    lossSum = from.lossSum();
    int first = from.iteration();
    boolean stopping = false;
    for (int epoch = from.epoch(); epoch < schedule.epochs(); epoch++) {
      for (int i = first; i < schedule.iterationsPerEpoch(); i++) {
        boolean stop = iterate(epoch, i);
        boolean last = i + 1 == schedule.iterationsPerEpoch();
        boolean boundary = (i + 1) % plan.accumulate() == 0;
        stopping |= stop;
        boolean due = plan.saveEvery() > 0 && (i + 1) % plan.saveEvery() == 0;
        if (boundary && !last && (stopping || due)) {
          save(plan.latestFile(), new Progress(epoch, i + 1, lossSum, places()), epoch);
          if (stopping) {
            return false;
          }
        }
      }
      double mean = lossSum / schedule.iterationsPerEpoch();
      lossSum = 0;
      first = 0;
      Path file = plan.epochFile(epoch);
      save(file, new Progress(epoch + 1, 0, 0, places()), epoch);
      listener.epoch(epoch, mean, learningRate, file);
      if (stopping && epoch + 1 < schedule.epochs()) {
        return false;
      }
    }
    return true;
  }

  /** Whether somebody wants all processes to stop. */
  private boolean iterate(int epoch, int iteration) throws InterruptedException {
    long begin = System.nanoTime();
    learningRate = plan.rate().at(epoch, iteration);
    double scale = trainer.lossScale().scale();
    List<Sample> samples = data.next(plan.batchSize());
    double loss = average(accumulate(samples));
    boolean updated = true;
    if ((iteration + 1) % plan.accumulate() == 0) {
      updated = trainer.update(learningRate);
    }
    int perEpoch = plan.rate().iterationsPerEpoch();
    long step = (long) epoch * perEpoch + iteration + 1;
    if (!Double.isFinite(loss) || (!updated && !trainer.lossScale().enabled())) {
      throw new DivergedException(
          "the loss is "
              + loss
              + " in iteration "
              + step
              + (updated ? "" : ", with gradients that are not finite")
              + ": go on from the last checkpoint with a lower run.init_lr");
    }
    lossSum += loss;
    long steps = (long) plan.rate().epochs() * perEpoch;
    long together = (long) ranks.size() * plan.batchSize();
    List<Example> examples = samples.stream().map(Sample::example).toList();
    Performance performance =
        meter.after(
            PerformanceMeter.work(trainer.model(), rows.computed(), examples),
            (System.nanoTime() - begin) / 1e9,
            together,
            (steps - step) * together);
    listener.iteration(
        new TrainingListener.IterationReport(
            epoch,
            iteration,
            step,
            steps,
            loss,
            learningRate,
            scale,
            performance,
            data.skipped(),
            !updated));
    return average(listener.stopped() ? 1 : 0) > 0;
  }

  private double average(double value) {
    double[] values = {value};
    ranks.average(values);
    return values[0];
  }

  private String places() {
    return Progress.data(ranks.gather(data.position()));
  }

  private double accumulate(List<Sample> samples) {
    Workspace workspace = trainer.ops().workspace();
    long mark = workspace.mark();
    try {
      return trainer.accumulate(rows.of(samples), samples.stream().map(Sample::example).toList());
    } finally {
      workspace.release(mark);
    }
  }

  /** The newest checkpoint of this run; null before the first. */
  public @Nullable Path lastSaved() {
    return lastSaved;
  }

  private void save(Path file, Progress progress, int epoch) {
    if (ranks.rank() == 0) {
      TrainingCheckpoint.write(file, trainer, progress, epoch, learningRate, plan.config());
      lastSaved = file;
    }
  }
}
