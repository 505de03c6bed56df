package io.minigpt4.weights;

import io.minigpt4.cli.Commands;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Makes Vicuna of LLaMA and the published differences. */
@Command(
    name = "apply-delta",
    description =
        "Adds Vicuna's published delta (v0 or v1.1) to LLaMA, in float16, as FastChat does. Both"
            + " are folders in Hugging Face's layout; so is what is written.",
    mixinStandardHelpOptions = true)
final class ApplyDeltaCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Option(
      names = "--base",
      paramLabel = "FOLDER",
      required = true,
      description = "LLaMA; for Meta's own files see the command llama.")
  private Path base = Path.of("");

  @Option(
      names = "--delta",
      paramLabel = "FOLDER",
      required = true,
      description = "The delta, e.g. vicuna-13b-delta-v0.")
  private Path deltaFolder = Path.of("");

  @Option(
      names = "--force",
      description = "Add them even if the content of the delta does not fit the base.")
  private boolean force;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    try (Delta delta = new Delta(base, deltaFolder, force)) {
      Ignored.report(
          out,
          "the delta",
          delta.deltaWeights(),
          delta.tensors().stream().map(PlannedTensor::name).collect(Collectors.toSet()));
      if (small(delta, "tokenizer.model").isEmpty()) {
        throw new UserException(
            "neither " + base + " nor " + deltaFolder + " has a tokenizer.model");
      }
      String task = "apply-delta " + Sources.describe(delta.folders());
      try (FolderWriter writer = output.open(task, out)) {
        output.write(writer, delta.tensors(), "adding");
        for (String name : LlamaFolder.SMALL_FILES) {
          small(delta, name).ifPresent(file -> writer.writeBytes(name, Sources.bytes(file)));
        }
        writer.writeBytes("config.json", Sources.bytes(deltaFolder.resolve("config.json")));
        output.finish(writer, delta.tensors(), out);
      }
    }
    return Commands.DONE;
  }

  /** A small file of the delta, or of the base if the delta has none. */
  private static Optional<Path> small(Delta delta, String name) {
    return delta.folders().stream()
        .map(folder -> folder.resolve(name))
        .filter(Files::exists)
        .findFirst();
  }
}
