package io.minigpt4.bench;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Unmatched;

/** Hands its arguments on to JMH, whose benchmarks are in the same jar. */
@Command(
    name = "jmh",
    description = {
      "Micro-benchmarks under JMH: calls of C functions, small operations on the processor.",
      "Arguments are JMH's: a pattern of names, -f forks, -wi and -i iterations, -p parameters, -rff"
          + " FILE for results, -l for a list, -h for all."
    })
final class JmhCommand implements Callable<Integer> {
  @Unmatched private List<String> arguments = new ArrayList<>();

  @Override
  public Integer call() throws IOException {
    org.openjdk.jmh.Main.main(arguments.toArray(String[]::new));
    return 0;
  }
}
