package io.minigpt4.cli;

import io.minigpt4.autograd.Tape;
import io.minigpt4.distributed.Collective;
import io.minigpt4.distributed.Launched;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelSource;
import io.minigpt4.model.Projection;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import io.minigpt4.train.Batches;
import io.minigpt4.train.DivergedException;
import io.minigpt4.train.OutputFolder;
import io.minigpt4.train.Progress;
import io.minigpt4.train.ProjectionTrainer;
import io.minigpt4.train.QueryCache;
import io.minigpt4.train.QueryRows;
import io.minigpt4.train.TrainingCheckpoint;
import io.minigpt4.train.TrainingListener;
import io.minigpt4.train.TrainingLog;
import io.minigpt4.train.TrainingPlan;
import io.minigpt4.train.TrainingRun;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.BiConsumer;
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
      "         minigpt4 chat --ckpt output/demo_stage1/checkpoint_2.pth docs/images/scene.png"
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
      description = "Epochs. Default: the configuration's; 3 for the demo.")
  private @Nullable Integer epochs;

  @Option(
      names = "--iterations",
      paramLabel = "N",
      description = "Iterations an epoch. Default: the configuration's; 200 for the demo.")
  private @Nullable Integer iterations;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Samples an iteration. Default: the configuration's; 32 for the demo.")
  private @Nullable Integer batch;

  @Option(
      names = "--scenes",
      paramLabel = "N",
      description = "Different pictures that the demo draws. Default: 4000.")
  private @Nullable Integer scenes;

  @Option(
      names = "--save-every",
      paramLabel = "N",
      description = "Write checkpoint_latest.pth every N iterations within an epoch, too.")
  private int saveEvery;

  @Option(
      names = "--recompute",
      description = "Keep few activations and compute layers twice, where memory is short.")
  private boolean recompute;

  @Option(
      names = "--image-cache",
      paramLabel = "FOLDER",
      description =
          "Keep what the frozen parts make of each picture there, and take it from there the next"
              + " time. For pictures that are not cropped at random.")
  private @Nullable Path imageCache;

  @Option(
      names = "--backend",
      paramLabel = "auto|nccl|mpi|tcp",
      defaultValue = "auto",
      description =
          "What connects the processes that torchrun, mpirun or srun started. Default:"
              + " ${DEFAULT-VALUE}, NCCL on GPUs, else Open MPI for mpirun's, else TCP.")
  private Collective.Backend backend = Collective.Backend.AUTO;

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
    if (saveEvery < 0) {
      throw new UserException("--save-every must be at least 1, or 0 for never, not " + saveEvery);
    }
    setup = setup.with(output, epochs, iterations, batch, scenes);
    ModelSource source = modelOptions.trainingSource();
    Launched launched = Launched.from(System.getenv());
    if (launched.rank() != 0) {
      return load(setup, source, launched);
    }
    try (OutputFolder folder = OutputFolder.take(setup.output())) {
      tidy(folder, setup.output());
      return load(setup, source, launched);
    }
  }

  private void tidy(OutputFolder folder, Path path) {
    int leftovers = folder.removeLeftovers();
    if (leftovers > 0) {
      Commands.warn(
          spec.commandLine().getErr(),
          path + ": removed " + leftovers + " half-written checkpoint(s) of a run that was killed");
    }
  }

  /** Loads the model, of whose parts only the projection is trained, and goes on. */
  private int load(TrainingSetup setup, ModelSource source, Launched launched)
      throws InterruptedException {
    try (Devices devices = modelOptions.openForTraining(finder, launched.localRank())) {
      if (devices.all().size() > 1) {
        throw new UserException("training computes on one device; name one with --device");
      }
      Tape tape = new Tape(devices.all().getFirst(), recompute);
      try (MiniGpt4 loaded = modelOptions.load(List.of(tape), source)) {
        boolean fresh = setup.startsFromNothing() && !modelOptions.hasProjection();
        MiniGpt4 start = fresh ? loaded.withProjection(untrained(loaded, tape)) : loaded;
        return together(setup, start, devices.all().getFirst(), tape, launched);
      }
    }
  }

  /** Connects to the other processes and trains with them. */
  private int together(
      TrainingSetup setup, MiniGpt4 start, Ops device, Tape tape, Launched launched)
      throws InterruptedException {
    Collective ranks = Collective.connect(launched, backend, device, this::endWithout);
    try {
      int code =
          train(setup, new ProjectionTrainer(start, tape, ranks, setup.weightDecay()), ranks);
      ranks.close();
      return code;
    } catch (DivergedException e) {
      ranks.close(); // All have found the same; nobody needs to be told.
      throw e;
    }
  }

  /** Another process is gone, and this one may be waiting for it in a native call. */
  private void endWithout(String who) {
    spec.commandLine().getErr().println("minigpt4: " + who + "; training ends");
    spec.commandLine().getErr().flush();
    Runtime.getRuntime().halt(Commands.FAILED);
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

  private int train(TrainingSetup setup, ProjectionTrainer trainer, Collective ranks)
      throws InterruptedException {
    PrintWriter err = spec.commandLine().getErr();
    TrainingPlan plan = setup.plan(saveEvery);
    Interrupts interrupts =
        new Interrupts(
            () ->
                Commands.warn(
                    err, "stopping after this iteration; again ends at once and saves nothing"));
    interrupts.install();
    interrupts.installTermination();
    MiniGpt4 model = trainer.model();
    try (@Nullable QueryCache cache = cache(setup, trainer, ranks.rank());
        Batches data = setup.data(model, cache, ranks, brokenSamples(err))) {
      Progress start = start(setup, trainer, ranks, data);
      interrupts.answering(true);
      QueryRows rows = new QueryRows(model, trainer.ops(), cache);
      if (ranks.rank() != 0) {
        return run(new TrainingRun(trainer, rows, data, plan, ranks, quiet(interrupts)), start);
      }
      greet(trainer, plan, ranks);
      try (TrainingLog log = new TrainingLog(plan.output(), plan.config());
          TrainingScreen screen =
              new TrainingScreen(out(), log, trainer, plan, setup.picture(), interrupts)) {
        return run(new TrainingRun(trainer, rows, data, plan, ranks, screen), start);
      }
    }
  }

  /** Names each one once, however often it is drawn. */
  private static BiConsumer<String, String> brokenSamples(PrintWriter err) {
    Set<String> named = new HashSet<>();
    return (name, problem) -> {
      if (named.add(name)) {
        Commands.warn(err, "sample skipped: " + problem);
      }
    };
  }

  private PrintWriter out() {
    return spec.commandLine().getOut();
  }

  private @Nullable QueryCache cache(TrainingSetup setup, ProjectionTrainer trainer, int rank) {
    if (imageCache != null) {
      return new QueryCache(imageCache, rank, QueryRows.probe(trainer.model(), trainer.ops()));
    }
    return setup.config() == null ? new QueryCache(QueryRows.floats(trainer.model())) : null;
  }

  /** Goes where the checkpoint to go on from says, if there is one. */
  private Progress start(
      TrainingSetup setup, ProjectionTrainer trainer, Collective ranks, Batches data) {
    Path from = resume == null ? setup.resume() : resume;
    if (from == null) {
      return Progress.START;
    }
    Progress start = TrainingCheckpoint.restore(from, trainer);
    start.requireWithin(setup.rate(), from);
    String place = start.dataOf(ranks.rank(), ranks.size());
    if (place != null) {
      data.seek(place);
    } else if (start.data() != null && ranks.rank() == 0) {
      Commands.warn(
          spec.commandLine().getErr(),
          from + " is of another number of processes: the data begin anew");
    }
    return start;
  }

  private void greet(ProjectionTrainer trainer, TrainingPlan plan, Collective ranks) {
    out()
        .printf(
            Locale.ROOT,
            "%s on %s, %s: %d × %d iterations of %d samples, to %s%n",
            trainer.model().name(),
            trainer.ops().device(),
            ranks.describe(),
            plan.rate().epochs(),
            plan.rate().iterationsPerEpoch(),
            ranks.size() * plan.batchSize(),
            plan.output());
    out().flush();
  }

  /** Of a process that others report for. */
  private static TrainingListener quiet(Interrupts interrupts) {
    return new TrainingListener() {
      @Override
      public boolean stopped() {
        return interrupts.stopped();
      }
    };
  }

  private int run(TrainingRun run, Progress start) throws InterruptedException {
    if (run.run(start)) {
      return Commands.DONE;
    }
    if (run.lastSaved() != null) {
      out().printf("stopped and saved; go on with --resume %s%n", run.lastSaved());
      out().flush();
    }
    return Interrupts.EXIT_CODE;
  }
}
