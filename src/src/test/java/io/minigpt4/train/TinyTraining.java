package io.minigpt4.train;

import io.minigpt4.autograd.Tape;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.distributed.Collective;
import io.minigpt4.distributed.Launched;
import io.minigpt4.image.ImageProcessor;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.Ops;
import io.minigpt4.testing.Golden;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Training of the tiny golden model, from a projection that knows nothing. */
final class TinyTraining implements AutoCloseable {
  private final Tape tape;
  private final MiniGpt4 loaded;
  final Collective ranks;
  final ProjectionTrainer trainer;

  /** Losses of the iterations so far. */
  final List<Double> losses = new ArrayList<>();

  TinyTraining() {
    this(CpuOps.createScalar(1));
  }

  /**
   * @param device closed with this
   */
  TinyTraining(Ops device) {
    this(device, Launched.from(Map.of()), null);
  }

  /** With the frozen language model's matrices in fewer bits. */
  TinyTraining(Ops device, Quantiser quantiser) {
    this(device, Launched.from(Map.of()), quantiser);
  }

  /** One of several processes. */
  TinyTraining(Launched launched) {
    this(CpuOps.createScalar(1), launched, null);
  }

  private TinyTraining(Ops device, Launched launched, @Nullable Quantiser quantiser) {
    tape = new Tape(device, false);
    ranks =
        Collective.connect(
            launched,
            Collective.Backend.AUTO,
            tape,
            who -> {
              System.out.println("lost " + who);
              Runtime.getRuntime().halt(3);
            });
    ModelSource source =
        new ModelSource.Published(
            Golden.path("tiny/eva_vit_g.pth"),
            Golden.path("tiny/blip2_pretrained_flant5xxl.pth"),
            Golden.path("tiny/vicuna"),
            null,
            null,
            null);
    loaded = new ModelLoader(List.of(tape), LoadListener.NONE, quantiser).load(source, null);
    trainer = new ProjectionTrainer(loaded, tape, ranks, 0.05);
  }

  ExampleBuilder builder() {
    MiniGpt4 model = trainer.model();
    return new ExampleBuilder(model.tokenizer(), model.rowsPerImage(), "", "\n", 20);
  }

  ImageProcessor images() {
    return new ImageProcessor(trainer.model().vision().config().imageSize());
  }

  /** A plan of two epochs of four iterations. */
  static TrainingPlan plan(Path folder, int accumulate) {
    LearningRate rate = new LearningRate(1e-2, 1e-3, 1e-3, 2, 2, 4);
    return new TrainingPlan(rate, 2, accumulate, 10, 0, folder, null);
  }

  /**
   * Trains.
   *
   * @param stopAfter iterations after which it is to save and stop; 0 for never
   */
  boolean run(TrainingPlan plan, Batches data, Progress from, int stopAfter)
      throws InterruptedException {
    TrainingListener listener =
        new TrainingListener() {
          @Override
          public void iteration(IterationReport report) {
            losses.add(report.loss());
          }

          @Override
          public boolean stopped() {
            return losses.size() == stopAfter;
          }
        };
    return new TrainingRun(
            trainer, new QueryRows(trainer.model(), tape, null), data, plan, ranks, listener)
        .run(from);
  }

  @Override
  public void close() {
    ranks.close();
    loaded.close();
    tape.close();
  }
}
