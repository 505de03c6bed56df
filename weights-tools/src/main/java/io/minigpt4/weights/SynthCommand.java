package io.minigpt4.weights;

import io.minigpt4.cli.Commands;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.RandomCheckpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Makes a model of random weights and true shapes. */
@Command(
    name = "synth",
    description =
        "Makes a model folder with random weights of true shapes, to measure and to test with.",
    mixinStandardHelpOptions = true)
final class SynthCommand implements Callable<Integer> {
  private static final String DEMO_TOKENIZER = "/io/minigpt4/demo/tokenizer.model";

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Option(
      names = "--preset",
      paramLabel = "NAME",
      required = true,
      converter = Preset.Reader.class,
      description = "${COMPLETION-CANDIDATES}")
  private Preset preset = Preset.DEMO;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "The same seed makes the same weights (default: ${DEFAULT-VALUE}).")
  private int seed = 1;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "f16",
      description = "f32, f16 or bf16 (default: ${DEFAULT-VALUE}).")
  private WeightType type = WeightType.F16;

  @Option(
      names = "--at-load",
      description = "Write no weights: they are made whenever the model is loaded.")
  private boolean atLoad;

  @Option(
      names = "--tokenizer",
      paramLabel = "FILE",
      description = "A tokenizer.model (default: the demo model's, with 900 pieces).")
  private @Nullable Path tokenizer;

  /** A random tensor, made a stretch at a time. */
  private static final class RandomTensor extends PlannedTensor {
    private final RandomCheckpoint weights;

    RandomTensor(RandomCheckpoint weights, String name) {
      super(name, weights.dtype(name), weights.shape(name));
      this.weights = weights;
    }

    @Override
    MemorySegment stretch(long from, long count, MemorySegment scratch) {
      weights.fill(name(), from, scratch);
      return scratch;
    }
  }

  @Override
  public Integer call() {
    DType dtype = type.dtype();
    if (dtype == null || seed < 0) {
      throw new UserException(
          dtype == null
              ? "--dtype keep: random weights have no type yet; choose f32, f16 or bf16"
              : "--seed must not be negative");
    }
    ModelConfig sizes = preset.config();
    ModelConfig random =
        new ModelConfig(
            sizes.name(),
            sizes.vision(),
            sizes.qformer(),
            sizes.llama(),
            new ModelConfig.Synthetic(seed, dtype));
    byte[] pieces = tokenizerBytes(sizes);
    PrintWriter out = spec.commandLine().getOut();
    try (RandomCheckpoint weights = new RandomCheckpoint(random);
        FolderWriter writer = output.open("synth " + random.toJson() + atLoad, out)) {
      List<RandomTensor> tensors =
          weights.names().stream().map(name -> new RandomTensor(weights, name)).toList();
      if (!atLoad) {
        output.write(writer, tensors, "writing");
      }
      writer.writeBytes("tokenizer.model", pieces);
      writer.writeText("config.json", (atLoad ? random : sizes).toJson());
      if (atLoad) {
        writer.finish();
        out.println(output.folder() + ": a config of weights that are made at load");
      } else {
        output.finish(writer, tensors, out);
      }
    }
    return Commands.DONE;
  }

  private byte[] tokenizerBytes(ModelConfig sizes) {
    byte[] bytes = tokenizer == null ? demoTokenizer() : Sources.bytes(tokenizer);
    int pieces = Tokenizer.parse(bytes, String.valueOf(tokenizer)).size();
    if (pieces > sizes.llama().vocabSize()) {
      throw new UserException(
          tokenizer
              + " has "
              + pieces
              + " pieces, more than the "
              + sizes.llama().vocabSize()
              + " rows of "
              + preset);
    }
    return bytes;
  }

  private static byte[] demoTokenizer() {
    try (InputStream in =
        Objects.requireNonNull(ModelLoader.class.getResourceAsStream(DEMO_TOKENIZER))) {
      return in.readAllBytes();
    } catch (IOException e) {
      throw new IllegalStateException(e); // it is in this program's own jar
    }
  }
}
