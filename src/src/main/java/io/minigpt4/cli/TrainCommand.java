package io.minigpt4.cli;

import io.minigpt4.autograd.Tape;
import io.minigpt4.distributed.Collective;
import io.minigpt4.distributed.Launched;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelSource;
import io.minigpt4.model.Projection;
import io.minigpt4.tensor.UserException;
import io.minigpt4.train.Batches;
import io.minigpt4.train.Progress;
import io.minigpt4.train.ProjectionTrainer;
import io.minigpt4.train.TrainingCheckpoint;
import io.minigpt4.train.TrainingLog;
import io.minigpt4.train.TrainingPlan;
import io.minigpt4.train.TrainingRun;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code train}: trains the projection. */
@Command(
    name = "train",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description =
        "Trains the projection between the Q-Former and the language model; everything else is"
            + " frozen.",
    footer = {
      "",
      "Without --cfg-path it trains the demo model's projection on scenes that it draws: stage 1"
          + " from nothing on captions, stage 2 on prompted descriptions and questions. With it, it"
          + " does what MiniGPT-4's own configuration says. Ctrl-C saves and stops.",
      "",
      "Example: minigpt4 train --stage 1, then",
      "         minigpt4 chat --ckpt output/demo_stage1/checkpoint_3.pth docs/images/scene.png"
    })
final class TrainCommand implements Callable<Integer> {
  private static final long INIT_SEED = 42;

  @Option(
      names = "--stage",
      paramLabel = "1|2",
      description = "Which stage of the demo's training. Default: 1.")
  private @Nullable Integer stage;

  @Option(names = "--output", paramLabel = "FOLDER", description = "Where checkpoints and logs go.")
  private @Nullable Path output;

  @Option(
      names = "--resume",
      paramLabel = "FILE",
      description = "A checkpoint of training to go on from, at the iteration after it.")
  private @Nullable Path resume;

  @Option(
      names = "--epochs",
      paramLabel = "N",
      description = "Epochs. Default: the configuration's; 4 for the demo.")
  private @Nullable Integer epochs;

  @Option(
      names = "--iterations",
      paramLabel = "N",
      description = "Iterations an epoch. Default: the configuration's; 50 for the demo.")
  private @Nullable Integer iterations;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Samples an iteration. Default: the configuration's; 32 for the demo.")
  private @Nullable Integer batch;

  @Option(
      names = "--save-every",
      paramLabel = "N",
      description = "Write checkpoint_latest.pth every N iterations within an epoch, too.")
  private int saveEvery;

  @Option(
      names = "--recompute",
      description = "Keep few activations and compute layers twice, where memory is short.")
  private boolean recompute;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private ModelOptions modelOptions = new ModelOptions();

  private final Devices.Finder finder;

  TrainCommand() {
    this(Devices.SYSTEM);
  }

  /**
   * @param finder finds NVIDIA's libraries
   */
  TrainCommand(Devices.Finder finder) {
    this.finder = finder;
  }

  @Override
  public Integer call() throws InterruptedException {
    TrainingSetup setup =
        modelOptions.hasConfig()
            ? TrainingSetup.configured(modelOptions.readConfig())
            : TrainingSetup.demo(demoStage());
    if (modelOptions.hasConfig() && stage != null) {
      throw new UserException("--stage is the demo's; with --cfg-path the file says it all");
    }
    setup = setup.with(output, epochs, iterations, batch);
    ModelSource source = modelOptions.trainingSource();
    Launched.requireAlone(System.getenv());
    try (Devices devices = modelOptions.openForTraining(finder)) {
      if (devices.all().size() > 1) {
        throw new UserException("training computes on one device; name one with --device");
      }
      Tape tape = new Tape(devices.all().getFirst(), recompute);
      try (MiniGpt4 loaded = modelOptions.load(List.of(tape), source)) {
        boolean fresh = setup.startsFromNothing() && !modelOptions.hasProjection();
        MiniGpt4 start = fresh ? loaded.withProjection(untrained(loaded, tape)) : loaded;
        return train(
            setup, new ProjectionTrainer(start, tape, Collective.single(), setup.weightDecay()));
      }
    }
  }

  private int demoStage() {
    int which = stage == null ? 1 : stage;
    if (which != 1 && which != 2) {
      throw new UserException("--stage must be 1 or 2, not " + which);
    }
    return which;
  }

  private static Projection untrained(MiniGpt4 model, Tape tape) {
    return Projection.untrained(
        model.qformer().config().hiddenSize(),
        model.llama().config().hiddenSize(),
        INIT_SEED,
        tape);
  }

  private int train(TrainingSetup setup, ProjectionTrainer trainer) throws InterruptedException {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    TrainingPlan plan = setup.plan(saveEvery);
    Interrupts interrupts = new Interrupts();
    interrupts.install();
    try (Batches data =
            setup.data(
                trainer.model(),
                (name, problem) -> Commands.warn(err, "sample skipped: " + problem));
        TrainingLog log = new TrainingLog(plan.output(), plan.config());
        TrainingScreen screen =
            new TrainingScreen(out, log, trainer, plan, setup.picture(), interrupts)) {
      Path from = resume == null ? setup.resume() : resume;
      Progress start = from == null ? Progress.START : TrainingCheckpoint.restore(from, trainer);
      if (start.data() != null) {
        data.seek(start.data());
      }
      out.printf(
          Locale.ROOT,
          "%s on %s: %d × %d iterations of %d samples, to %s%n",
          trainer.model().name(),
          trainer.ops().device(),
          plan.rate().epochs(),
          plan.rate().iterationsPerEpoch(),
          plan.batchSize(),
          plan.output());
      out.flush();
      interrupts.answering(true);
      TrainingRun run = new TrainingRun(trainer, data, plan, Collective.single(), screen);
      boolean done = run.run(start);
      if (!done) {
        out.printf("stopped and saved; go on with --resume %s%n", run.lastSaved());
        out.flush();
      }
      return done ? Commands.DONE : Interrupts.EXIT_CODE;
    }
  }
}
