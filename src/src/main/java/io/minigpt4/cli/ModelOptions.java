package io.minigpt4.cli;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.config.MiniGpt4Config;
import io.minigpt4.config.ModelSettings;
import io.minigpt4.config.PublishedFiles;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Which model to load, and what to compute it on. */
final class ModelOptions {
  private static final int MOST_THREADS = 1024;

  /** Weights in bytes that fit any machine. */
  private static final long SMALL_MODEL = 2L << 30;

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--model",
      paramLabel = "FOLDER",
      description =
          "A model folder (config.json, tokenizer.model, *.safetensors). Default: the demo model"
              + " inside this program.")
  private @Nullable Path folder;

  @Option(
      names = "--ckpt",
      paramLabel = "FILE",
      description = "A checkpoint whose projection (llama_proj) replaces the model's own.")
  private @Nullable Path projection;

  @Option(
      names = "--cfg-path",
      paramLabel = "FILE",
      description = "MiniGPT-4's own YAML configuration, which names the published files.")
  private @Nullable Path config;

  @Option(
      names = "--options",
      arity = "1..*",
      parameterConsumer = OverridesConsumer.class,
      paramLabel = "KEY=VALUE",
      description = "Override settings of the YAML file, e.g. model.ckpt=pretrained.pth.")
  private List<String> overrides = new ArrayList<>();

  @Option(
      names = "--device",
      paramLabel = "DEVICE",
      defaultValue = "auto",
      description =
          "What to compute on: "
              + Devices.NAMES
              + ". Default: ${DEFAULT-VALUE}, the first GPU if it can be used, else the CPU.")
  private String device = "auto";

  @Option(
      names = "--cuda-path",
      paramLabel = "FOLDER",
      description = "Where to look first for NVIDIA's libraries.")
  private @Nullable Path cudaPath;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads that compute on the CPU. Default: one a processor.")
  private @Nullable Integer threads;

  @Option(
      names = "--weights-bits",
      paramLabel = "BITS",
      description =
          "8 or 4: make the language model's weights so small while loading. Default: take them"
              + " as they lie, or 8 with low_resource in the YAML file.")
  private @Nullable Integer bits;

  /** Whether a YAML file was given. */
  boolean hasConfig() {
    return config != null;
  }

  /** Whether a projection was given that takes the place of the model's own. */
  boolean hasProjection() {
    return projection != null;
  }

  /** Reads the YAML file, once more each time. */
  MiniGpt4Config readConfig() {
    MiniGpt4Config yaml = MiniGpt4Config.load(Objects.requireNonNull(config), overrides);
    yaml.warnings().forEach(this::warn);
    return yaml;
  }

  /** As {@link #source}, but a configuration need not name a trained projection. */
  ModelSource trainingSource() {
    if (config == null || folder != null) {
      return source();
    }
    MiniGpt4Config yaml = MiniGpt4Config.load(config, overrides);
    PublishedFiles files = yaml.files();
    boolean none = projection == null && yaml.model().ckpt().isEmpty();
    return new ModelSource.Published(
        files.vision(),
        files.qformer(),
        files.llama(),
        none ? null : projection == null ? files.projection() : projection,
        yaml.model().imageSize(),
        yaml.model().numQueryToken());
  }

  /**
   * As {@link #openToServe}, with a GPU for each process of a machine, and in float32 throughout on
   * the CPU.
   *
   * @param localRank this process's number on its machine
   */
  Devices openForTraining(Devices.Finder finder, int localRank) {
    boolean own = device.equals("cuda") || (device.equals("auto") && finder.hasTrace());
    String name = own && localRank > 0 ? "cuda:" + localRank : device;
    return openDevices(CpuOps::createExact, finder, name);
  }

  /** Whether the model is the one inside the jar. */
  boolean isBuiltIn() {
    return folder == null && config == null;
  }

  /**
   * Opens the devices that were asked for, to answer once or a few times.
   *
   * @throws UserException if there is no such device, or it cannot be used
   */
  Devices openDevices() {
    return openDevices(isBuiltIn() ? CpuOps::createScalar : CpuOps::create, Devices.SYSTEM, device);
  }

  /** As {@link #openDevices}, with what computes quickest in the long run. */
  Devices openToServe() {
    return openDevices(CpuOps::create, Devices.SYSTEM, device);
  }

  private Devices openDevices(IntFunction<CpuOps> cpu, Devices.Finder finder, String name) {
    if (threads != null && (threads < 1 || threads > MOST_THREADS)) {
      throw new UserException(
          "--threads must be between 1 and " + MOST_THREADS + ", not " + threads);
    }
    int count = threads == null ? 0 : threads;
    return Devices.open(name, cudaPath, () -> cpu.apply(count), finder);
  }

  /**
   * Loads the model that was asked for, with a progress bar on stderr.
   *
   * @throws UserException if its files are missing, malformed or do not belong together
   */
  MiniGpt4 load(Devices devices, ModelSource source) {
    return load(devices.all(), source);
  }

  /** The same on the devices of a list, the first of which has what is not divided. */
  MiniGpt4 load(List<Ops> devices, ModelSource source) {
    Quantiser quantiser = quantiser();
    try (ProgressBar bar = ProgressBar.onStderr("loading")) {
      LoadListener listener =
          new LoadListener() {
            @Override
            public void loaded(long done, long total) {
              bar.bytes(done, total);
            }

            @Override
            public void expects(long bytes) {
              warnIfTooLarge(bytes, quantiser != null);
            }

            @Override
            public void warns(String message) {
              warn(message);
            }
          };
      return new ModelLoader(devices, listener, quantiser).load(source, projection);
    }
  }

  /** What the weights go through as they are loaded; null for nothing. */
  private @Nullable Quantiser quantiser() {
    if (bits != null && bits != 8 && bits != 4) {
      throw new UserException("--weights-bits must be 8 or 4, not " + bits);
    }
    boolean eight =
        bits == null
            ? config != null && MiniGpt4Config.load(config, overrides).model().lowResource()
            : bits == 8;
    if (!eight && bits == null) {
      return null;
    }
    return new Quantiser(eight ? DType.Q8 : DType.Q4, Quantiser.DEFAULT_GROUP);
  }

  private void warnIfTooLarge(long bytes, boolean quantised) {
    if (bytes < SMALL_MODEL) {
      return; // for which asking the system would be felt
    }
    long memory = Machine.memory();
    if (bytes > memory) {
      warn(
          String.format(
              Locale.ROOT,
              "the weights take %.1f GB and this machine has %.1f GB of memory, so that much of"
                  + " them is read from the disk for every token%s",
              1e-9 * bytes,
              1e-9 * memory,
              quantised
                  ? ""
                  : "; --weights-bits 8 makes 16-bit weights half as large, --weights-bits 4 a"
                      + " third"));
    }
  }

  /**
   * Finds the files of the model that was asked for, without opening them.
   *
   * @throws UserException if options contradict each other, or the configuration cannot be read or
   *     names a file that is not there
   */
  ModelSource source() {
    if (folder != null && config != null) {
      throw new UserException("--model and --cfg-path both name a model; give one of them");
    }
    if (config == null && !overrides.isEmpty()) {
      throw new UserException("--options changes a YAML file's settings; name it with --cfg-path");
    }
    if (folder != null) {
      return new ModelSource.Folder(folder);
    }
    return config == null ? new ModelSource.BuiltIn() : published(config);
  }

  private ModelSource published(Path file) {
    MiniGpt4Config yaml = MiniGpt4Config.load(file, overrides);
    yaml.warnings().forEach(this::warn);
    ModelSettings model = yaml.model();
    PublishedFiles files = yaml.files();
    return new ModelSource.Published(
        files.vision(),
        files.qformer(),
        files.llama(),
        projection == null ? files.projection() : projection,
        model.imageSize(),
        model.numQueryToken());
  }

  private void warn(String message) {
    Commands.warn(spec.commandLine().getErr(), message);
  }
}
