package io.minigpt4.weights;

import io.minigpt4.cli.ProgressBar;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Option;

/** Where a command writes a folder of weights, and how it is cut. */
final class OutputOptions {
  @Option(
      names = {"-o", "--out"},
      paramLabel = "FOLDER",
      required = true,
      description = "The folder to write: new, empty, or left unfinished by the same command.")
  private Path folder = Path.of("");

  @Option(
      names = "--shard-size",
      paramLabel = "SIZE",
      defaultValue = "4G",
      description = "Most bytes in a file, e.g. 500M or 4G (default: ${DEFAULT-VALUE}).")
  private String shardSize = "4G";

  Path folder() {
    return folder;
  }

  /**
   * Begins or goes on with the folder.
   *
   * @param task what is written, without the options that are known here
   */
  FolderWriter open(String task, PrintWriter out) {
    Sizes.parse("--shard-size", shardSize);
    FolderWriter writer = FolderWriter.open(folder, task + "; shards of " + shardSize);
    if (writer.kept() > 0) {
      out.println("going on: files of an earlier run that are whole are kept");
    }
    return writer;
  }

  /** Writes the tensors with a progress bar. */
  void write(FolderWriter writer, List<? extends PlannedTensor> tensors, String work) {
    try (ProgressBar bar = ProgressBar.onStderr(work)) {
      writer.writeTensors(tensors, Sizes.parse("--shard-size", shardSize), bar::bytes);
    }
  }

  /** Finishes the folder and says what is in it. */
  void finish(FolderWriter writer, List<? extends PlannedTensor> tensors, PrintWriter out) {
    writer.finish();
    long bytes = tensors.stream().mapToLong(PlannedTensor::bytes).sum();
    out.println(folder + ": " + tensors.size() + " tensors, " + Sizes.show(bytes));
  }
}
