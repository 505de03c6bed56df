package io.minigpt4.train;

import io.minigpt4.distributed.Collective;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The training loop: epochs of iterations, the rate set at each, checkpoints after each epoch,
 * every so many iterations and when it is stopped.
 */
public final class TrainingRun {
  private final ProjectionTrainer trainer;
  private final Batches data;
  private final TrainingPlan plan;
  private final Collective ranks;
  private final TrainingListener listener;
  private double lossSum;
  private double learningRate;
  private @Nullable Path lastSaved;

  /** Puts a run together. */
  public TrainingRun(
      ProjectionTrainer trainer,
      Batches data,
      TrainingPlan plan,
      Collective ranks,
      TrainingListener listener) {
    this.trainer = trainer;
    this.data = data;
    this.plan = plan;
    this.ranks = ranks;
    this.listener = listener;
  }

  /**
   * Trains.
   *
   * @param from where to begin
   * @return whether it came to its end; false if it was stopped, with its state saved
   * @throws UserException if the loss is not finite, or a checkpoint cannot be written
   * @throws InterruptedException if the thread is interrupted while it waits for data
   */
  public boolean run(Progress from) throws InterruptedException {
    LearningRate schedule = plan.rate();
    lossSum = from.lossSum();
    int first = from.iteration();
    for (int epoch = from.epoch(); epoch < schedule.epochs(); epoch++) {
      for (int i = first; i < schedule.iterationsPerEpoch(); i++) {
        iterate(epoch, i);
        boolean last = i + 1 == schedule.iterationsPerEpoch();
        boolean boundary = (i + 1) % plan.accumulate() == 0;
        if (listener.stopped() && boundary && !last) {
          save(plan.latestFile(), new Progress(epoch, i + 1, lossSum, data.position()), epoch);
          return false;
        }
        if (plan.saveEvery() > 0 && boundary && !last && (i + 1) % plan.saveEvery() == 0) {
          save(plan.latestFile(), new Progress(epoch, i + 1, lossSum, data.position()), epoch);
        }
      }
      double mean = lossSum / schedule.iterationsPerEpoch();
      lossSum = 0;
      first = 0;
      Path file = plan.epochFile(epoch);
      save(file, new Progress(epoch + 1, 0, 0, data.position()), epoch);
      listener.epoch(epoch, mean, learningRate, file);
      if (listener.stopped() && epoch + 1 < schedule.epochs()) {
        return false;
      }
    }
    return true;
  }

  private void iterate(int epoch, int iteration) throws InterruptedException {
    long begin = System.nanoTime();
    learningRate = plan.rate().at(epoch, iteration);
    double scale = trainer.lossScale().scale();
    List<Sample> samples = data.next(plan.batchSize());
    double loss = ranks.average(accumulate(samples));
    boolean updated = true;
    if ((iteration + 1) % plan.accumulate() == 0) {
      updated = trainer.update(learningRate);
    }
    int perEpoch = plan.rate().iterationsPerEpoch();
    long step = (long) epoch * perEpoch + iteration + 1;
    if (!Double.isFinite(loss) || (!updated && !trainer.lossScale().enabled())) {
      throw new UserException(
          "the loss is "
              + loss
              + " in iteration "
              + step
              + (updated ? "" : ", with gradients that are not finite")
              + ": go on from the last checkpoint with a lower run.init_lr");
    }
    lossSum += loss;
    double seconds = (System.nanoTime() - begin) / 1e9;
    listener.iteration(
        new TrainingListener.IterationReport(
            epoch,
            iteration,
            step,
            (long) plan.rate().epochs() * perEpoch,
            loss,
            learningRate,
            scale,
            ranks.size() * plan.batchSize() / seconds,
            data.skipped(),
            !updated));
  }

  private double accumulate(List<Sample> samples) {
    MiniGpt4 model = trainer.model();
    Ops ops = trainer.ops();
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    int size = model.vision().config().imageSize();
    int count = samples.size();
    long each = 12L * size * size;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(count * each, 64);
      for (int i = 0; i < count; i++) {
        MemorySegment.copy(samples.get(i).pixels(), 0, host, i * each, each);
      }
      Tensor pixels = workspace.take(DType.F32, count, 3, size, size);
      ops.write(host, pixels);
      Tensor queries =
          workspace.take(
              ops.activation(),
              (long) count * model.rowsPerImage(),
              model.qformer().config().hiddenSize());
      model.queries(pixels, queries);
      return trainer.accumulate(queries, samples.stream().map(Sample::example).toList());
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
