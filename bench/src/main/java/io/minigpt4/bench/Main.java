package io.minigpt4.bench;

import io.minigpt4.cli.Commands;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The bench's command line: each benchmark is a subcommand; {@code --help} lists them. */
@Command(
    name = "minigpt4-bench",
    description = "Measures the engine on this machine.",
    synopsisSubcommandLabel = "BENCHMARK",
    mixinStandardHelpOptions = true,
    subcommands = {
      KernelsBench.class,
      LlmBench.class,
      BatchBench.class,
      ServeBench.class,
      VisionBench.class,
      TrainBench.class,
      ParityCommand.class,
      JcudaCommand.class,
      JmhCommand.class,
      CompareCommand.class,
      HelpCommand.class
    })
public final class Main implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  Main() {}

  /** Runs the benchmark that the arguments name and exits with its code. */
  public static void main(String[] args) {
    System.exit(Commands.run(new Main(), args));
  }

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "no benchmark given");
  }
}
