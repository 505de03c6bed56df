package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Lists a checkpoint's tensors. */
@Command(
    name = "inspect",
    description = "Lists the tensors of a checkpoint: a file, an index of shards or a folder.",
    mixinStandardHelpOptions = true)
final class InspectCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(paramLabel = "PATH", description = "The file or folder.")
  private Path path = Path.of("");

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    try (Checkpoint checkpoint = Checkpoints.open(path)) {
      for (String name : checkpoint.names()) {
        out.println(name + " " + checkpoint.dtype(name) + Arrays.toString(checkpoint.shape(name)));
      }
    }
    return 0;
  }
}
