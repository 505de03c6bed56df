package io.minigpt4.cli;

import io.minigpt4.config.DatasetSettings;
import io.minigpt4.config.MiniGpt4Config;
import io.minigpt4.config.ModelSettings;
import io.minigpt4.config.RunSettings;
import io.minigpt4.distributed.Collective;
import io.minigpt4.image.ImageProcessor;
import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.UserException;
import io.minigpt4.train.AlignmentFolder;
import io.minigpt4.train.Batches;
import io.minigpt4.train.ExampleBuilder;
import io.minigpt4.train.LearningRate;
import io.minigpt4.train.MixedBatches;
import io.minigpt4.train.QueryCache;
import io.minigpt4.train.SampleLoader;
import io.minigpt4.train.SampleMaker;
import io.minigpt4.train.SampleSource;
import io.minigpt4.train.TrainingPlan;
import io.minigpt4.train.WebDataset;
import io.minigpt4.train.demo.DemoSamples;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;

/**
 * All numbers of a run: the demo's, or those of a configuration file.
 *
 * @param config null for the demo
 * @param stage the demo's stage; 0 with a configuration
 * @param scenes how many different pictures the demo draws; 0 with a configuration
 */
record TrainingSetup(
    @Nullable MiniGpt4Config config,
    int stage,
    LearningRate rate,
    int batchSize,
    int accumulate,
    int logEvery,
    int workers,
    long seed,
    double weightDecay,
    int scenes,
    Path output) {
  private static final String TEMPLATE = "###Human: {} ###Assistant: ";
  private static final long PICTURE_SEED = 7;
  private static final int DEMO_TOKENS = 160;
  private static final int DEMO_SCENES = 4000;

  /** The demo's: MiniGPT-4's stages in small, with rates that suit it. */
  static TrainingSetup demo(int stage) {
    LearningRate rate =
        stage == 1
            ? new LearningRate(1e-2, 1e-4, 1e-3, 20, 3, 200)
            : new LearningRate(3e-3, 1e-5, 1e-3, 20, 3, 200);
    Path output = Path.of("output", "demo_stage" + stage);
    return new TrainingSetup(null, stage, rate, 32, 1, 10, 1, 42, 0.05, DEMO_SCENES, output);
  }

  /** What a configuration file says. */
  static TrainingSetup configured(MiniGpt4Config config) {
    RunSettings run = config.run();
    if (run.evaluate()) {
      throw new UserException("run.evaluate is True: this command trains; set it to False");
    }
    if (run.itersPerEpoch() == 0) {
      throw new UserException(
          "run.iters_per_epoch is missing: say how many iterations an epoch has, as the data sets"
              + " have no end");
    }
    requireWhatIsTrained(config.model());
    LearningRate rate =
        new LearningRate(
            run.initLr(),
            run.minLr(),
            run.warmupLr(),
            run.warmupSteps(),
            run.maxEpoch(),
            run.itersPerEpoch());
    return new TrainingSetup(
        config,
        0,
        rate,
        run.batchSizeTrain(),
        run.accumGradIters(),
        run.logFreq(),
        Math.max(1, run.numWorkers()),
        run.seed(),
        run.weightDecay(),
        0,
        Path.of(run.outputDir()));
  }

  /** Settings of the Python version that would make another training than this one. */
  private static void requireWhatIsTrained(ModelSettings model) {
    if (!model.freezeVit() || !model.freezeQformer()) {
      throw new UserException(
          "model."
              + (model.freezeVit() ? "freeze_qformer" : "freeze_vit")
              + " is False, but only the projection is trained here; set it to True");
    }
    String template = model.promptTemplate();
    if (!model.promptPath().isEmpty() && !template.isEmpty() && !template.contains("{}")) {
      throw new UserException(
          "model.prompt_template has no {}, the place of a prompt; write it as '###Human: {}"
              + " ###Assistant: '");
    }
  }

  /** The same with what the command line says otherwise. */
  TrainingSetup with(
      @Nullable Path folder,
      @Nullable Integer epochs,
      @Nullable Integer iterations,
      @Nullable Integer batch,
      @Nullable Integer pictures) {
    if (config != null && pictures != null) {
      throw new UserException(
          "--scenes is the demo's; with --cfg-path the file says what the data are");
    }
    LearningRate changed =
        new LearningRate(
            rate.initial(),
            rate.minimum(),
            rate.warmup(),
            rate.warmupSteps(),
            atLeastOne(epochs, rate.epochs(), "--epochs"),
            atLeastOne(iterations, rate.iterationsPerEpoch(), "--iterations"));
    return new TrainingSetup(
        config,
        stage,
        changed,
        atLeastOne(batch, batchSize, "--batch"),
        accumulate,
        logEvery,
        workers,
        seed,
        weightDecay,
        config != null ? 0 : atLeastOne(pictures, scenes, "--scenes"),
        folder == null ? output : folder);
  }

  private static int atLeastOne(@Nullable Integer given, int otherwise, String option) {
    if (given != null && given < 1) {
      throw new UserException(option + " must be at least 1, not " + given);
    }
    return given == null ? otherwise : given;
  }

  /** The configuration's checkpoint to go on from; null for none. */
  @Nullable Path resume() {
    if (config == null || config.run().resumeCkptPath().isEmpty()) {
      return null;
    }
    return Path.of(config.run().resumeCkptPath());
  }

  /** Whether the demo's projection is to be forgotten. */
  boolean startsFromNothing() {
    return stage == 1;
  }

  /** A picture to be described after each epoch; null for none. */
  @Nullable Picture picture() {
    return config == null ? DemoSamples.picture(PICTURE_SEED) : null;
  }

  TrainingPlan plan(int saveEvery) {
    return new TrainingPlan(rate, batchSize, accumulate, logEvery, saveEvery, output, described());
  }

  /** The configuration for the log; for the demo in the same layout. */
  private @Nullable Object described() {
    if (config != null) {
      return config.toPlain();
    }
    Map<String, Object> run = new LinkedHashMap<>();
    run.put("init_lr", rate.initial());
    run.put("min_lr", rate.minimum());
    run.put("warmup_lr", rate.warmup());
    run.put("warmup_steps", rate.warmupSteps());
    run.put("weight_decay", weightDecay);
    run.put("max_epoch", rate.epochs());
    run.put("iters_per_epoch", rate.iterationsPerEpoch());
    run.put("batch_size_train", batchSize);
    run.put("scenes", scenes);
    run.put("seed", seed);
    run.put("output_dir", output.toString());
    Map<String, Object> demo = new LinkedHashMap<>();
    demo.put("arch", "mini_gpt4");
    demo.put("model_type", "demo");
    demo.put("stage", stage);
    return new LinkedHashMap<>(Map.of("model", demo, "run", run));
  }

  /**
   * Opens the data.
   *
   * @param cache what is known of pictures; null for nothing
   * @param ranks of which this process is one
   * @param broken is told the name of each broken sample and what is wrong
   */
  Batches data(
      MiniGpt4 model,
      @Nullable QueryCache cache,
      Collective ranks,
      BiConsumer<String, String> broken) {
    int ahead = 2 * batchSize;
    if (config == null) {
      return new SampleLoader(demoSamples(model, cache, ranks), workers, ahead, broken);
    }
    List<SampleLoader> sets = new ArrayList<>();
    List<Double> ratios = new ArrayList<>();
    for (DatasetSettings set : config.datasets().values()) {
      SampleSource source = source(set, model, config.model(), sets.size(), cache, ranks);
      sets.add(new SampleLoader(source, workers, ahead, broken));
      ratios.add(set.sampleRatio());
    }
    if (sets.isEmpty()) {
      throw new UserException("the configuration has no datasets to train on");
    }
    return new MixedBatches(sets, ratios.stream().mapToDouble(Double::doubleValue).toArray(), seed);
  }

  private SampleSource demoSamples(MiniGpt4 model, @Nullable QueryCache cache, Collective ranks) {
    String end = stage == 1 ? "\n" : "###";
    ExampleBuilder builder =
        new ExampleBuilder(model.tokenizer(), model.rowsPerImage(), TEMPLATE, end, DEMO_TOKENS);
    ImageProcessor images = new ImageProcessor(model.vision().config().imageSize());
    DemoSamples.Setup setup = new DemoSamples.Setup(stage, seed, scenes);
    return new DemoSamples(setup, ranks.rank(), ranks.size(), builder, images, cache);
  }

  private SampleSource source(
      DatasetSettings set,
      MiniGpt4 model,
      ModelSettings settings,
      int number,
      @Nullable QueryCache cache,
      Collective ranks) {
    int size = model.vision().config().imageSize();
    if (set.imageSize() != size) {
      throw new UserException(
          "datasets."
              + set.name()
              + ".vis_processor.train.image_size is "
              + set.imageSize()
              + ", but the model takes "
              + size);
    }
    if (set.storage().isEmpty()) {
      throw new UserException(
          "the configuration does not say where "
              + set.name()
              + " is (the Python version keeps that in a file of its own): add --options datasets."
              + set.name()
              + ".build_info.storage=PATH");
    }
    ExampleBuilder builder =
        new ExampleBuilder(
            model.tokenizer(),
            model.rowsPerImage(),
            settings.promptTemplate(),
            settings.endSym(),
            settings.maxTxtLen());
    // The alignment set's captions are taken as they are, whatever its text processor.
    boolean folder = Files.isDirectory(Path.of(set.storage().getFirst()));
    SampleMaker maker =
        new SampleMaker(
            builder,
            new ImageProcessor(size),
            set.imageProcessor().equals("blip2_image_train"),
            !folder && set.textProcessor().equals("blip_caption"),
            cache,
            prompts(settings.promptPath()));
    return folder
        ? new AlignmentFolder(
            Path.of(set.storage().getFirst()), maker, seed + number, ranks.rank(), ranks.size())
        : new WebDataset(set.storage(), maker, seed + number, ranks.rank());
  }

  /** The lines with an image; none if no file is named. */
  private static List<String> prompts(String file) {
    if (file.isEmpty()) {
      return List.of();
    }
    try {
      List<String> lines =
          Files.readAllLines(Path.of(file)).stream()
              .filter(line -> line.contains(ExampleBuilder.IMAGE))
              .toList();
      if (lines.isEmpty()) {
        throw new UserException(
            file + " (model.prompt_path) has no line with " + ExampleBuilder.IMAGE);
      }
      return lines;
    } catch (IOException e) {
      throw new UserException(
          file + " (model.prompt_path) cannot be read: " + UserException.reason(e), e);
    }
  }
}
