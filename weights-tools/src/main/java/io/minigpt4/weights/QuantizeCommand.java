package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.checkpoint.QuantisingCheckpoint;
import io.minigpt4.cli.Commands;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Makes the language model's matrices of a folder small. */
@Command(
    name = "quantize",
    description =
        "Writes a model folder, or a LLaMA folder, again with the language model's matrices in 8 or"
            + " 4 bits, and says of each how far it is from the original.",
    mixinStandardHelpOptions = true)
final class QuantizeCommand implements Callable<Integer> {
  /** What the language model's names begin with: in a model folder, in a LLaMA folder. */
  private static final List<String> PREFIXES = List.of("llama_model.", "");

  private static final String EMBEDDING = "model.embed_tokens.weight";

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Parameters(paramLabel = "FOLDER", description = "The model folder or LLaMA folder.")
  private Path folder = Path.of("");

  @Option(
      names = "--bits",
      paramLabel = "BITS",
      required = true,
      description =
          "8: a scale for each row. 4: a scale for each group, the one with the least squared"
              + " error. The head, which turns into scores, is made 8 bits wide in both.")
  private int bits;

  @Option(
      names = "--group",
      paramLabel = "N",
      defaultValue = "32",
      description =
          "With 4 bits: weights that share a scale, a multiple of 8 from 8 to 256 (default:"
              + " ${DEFAULT-VALUE}). Rows are filled up to multiples of 16 times as many.")
  private int group = Quantiser.DEFAULT_GROUP;

  private double squares;
  private double errors;
  private int matrices;

  @Override
  public Integer call() {
    Quantiser quantiser = quantiser();
    PrintWriter out = spec.commandLine().getOut();
    if (!Files.isDirectory(folder)) {
      throw new UserException(folder + " is not a folder: name a model folder or a LLaMA folder");
    }
    try (Checkpoint original = Weights.open(folder)) {
      QuantisingCheckpoint view = new QuantisingCheckpoint(original, prefix(original), quantiser);
      if (view.quantised().isEmpty()) {
        throw new UserException(folder + " has no matrices of 16 or 32 bits to make smaller");
      }
      List<PlannedTensor> tensors = plan(original, view, out);
      String task = "quantize " + Sources.describe(List.of(folder)) + "; " + bits + "; " + group;
      try (FolderWriter writer = output.open(task, out)) {
        output.write(writer, tensors, "quantizing");
        copySmallFiles(writer);
        output.finish(writer, tensors, out);
      }
    }
    summary(out);
    return Commands.DONE;
  }

  private List<PlannedTensor> plan(
      Checkpoint original, QuantisingCheckpoint view, PrintWriter out) {
    Map<String, QuantisedMatrix> matrices = new HashMap<>();
    List<PlannedTensor> tensors = new ArrayList<>();
    for (String name : view.names()) {
      QuantisingCheckpoint.Part part = view.part(name);
      if (part == null) {
        tensors.add(new CopiedTensor(name, original, name, null));
        continue;
      }
      QuantisedMatrix matrix =
          matrices.computeIfAbsent(
              part.matrix(),
              of ->
                  new QuantisedMatrix(
                      original,
                      view,
                      of,
                      part.quantiser(),
                      (quantised, type, deviation) -> report(out, quantised, type, deviation)));
      tensors.add(part.scales() ? matrix.new Scales(name) : matrix.new Integers());
    }
    return tensors;
  }

  private Quantiser quantiser() {
    if (bits != 8 && bits != 4) {
      throw new UserException("--bits must be 8 or 4, not " + bits);
    }
    if (!Quantised.isGroup(group)) {
      throw new UserException("--group must be a multiple of 8 from 8 to 256, not " + group);
    }
    return new Quantiser(bits == 8 ? DType.Q8 : DType.Q4, group);
  }

  private String prefix(Checkpoint checkpoint) {
    return PREFIXES.stream()
        .filter(prefix -> checkpoint.contains(prefix + EMBEDDING))
        .findFirst()
        .orElseThrow(
            () ->
                new UserException(
                    folder
                        + " holds no language model: a model folder has llama_model."
                        + EMBEDDING
                        + ", a LLaMA folder "
                        + EMBEDDING));
  }

  private void report(PrintWriter out, String name, DType type, Quantiser.Deviation deviation) {
    squares += deviation.squares();
    errors += deviation.errors();
    matrices++;
    out.printf(Locale.ROOT, "%s %s, error %.3f %%%n", name, bits(type), 100 * deviation.relative());
    out.flush();
  }

  private static String bits(DType type) {
    return type == DType.Q8 ? "8 bits" : "4 bits";
  }

  private void summary(PrintWriter out) {
    if (matrices > 0) {
      double all = new Quantiser.Deviation(squares, errors).relative();
      out.printf(
          Locale.ROOT,
          "%d matrices, error %.3f %% (root mean square of the differences, relative to the"
              + " weights')%n",
          matrices,
          100 * all);
    }
  }

  /** Settings and the tokenizer. */
  private void copySmallFiles(FolderWriter writer) {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.sorted().toList()) {
        String name = file.getFileName().toString();
        boolean settings =
            name.endsWith(".json")
                && !name.endsWith(".index.json")
                && !name.equals(Journal.CHECKSUMS);
        if (Files.isRegularFile(file) && (settings || name.equals("tokenizer.model"))) {
          writer.writeBytes(name, Weights.smallFile(file));
        }
      }
    } catch (IOException e) {
      throw Sources.unreadable(folder, e);
    }
  }
}
