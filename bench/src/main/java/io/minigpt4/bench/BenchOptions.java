package io.minigpt4.bench;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What all benchmarks take. */
final class BenchOptions {
  @Option(names = "--threads", paramLabel = "N", description = "Threads (default: all processors).")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Rounds, of which the median counts (default: ${DEFAULT-VALUE}).",
      defaultValue = "5")
  private int rounds = 5;

  @Option(names = "--json", paramLabel = "FILE", description = "Also write the figures as JSON.")
  private @Nullable Path json;

  @Option(
      names = "--clock",
      description =
          "${COMPLETION-CANDIDATES}: time as it passes, or processor time, which other work on the"
              + " machine disturbs less but which only makes sense with one thread.",
      defaultValue = "WALL")
  private Clock clock = Clock.WALL;

  @Option(
      names = "--device",
      paramLabel = "DEVICE",
      description = "cpu, cuda or cuda:N (default: ${DEFAULT-VALUE}).",
      defaultValue = "cpu")
  private String device = "cpu";

  @Option(
      names = "--cuda-path",
      paramLabel = "FOLDER",
      description = "Where to look first for NVIDIA's libraries.")
  private @Nullable Path cudaPath;

  /**
   * An option's value.
   *
   * @throws UserException if it is less than one
   */
  static int atLeastOne(String option, int value) {
    if (value < 1) {
      throw new UserException(option + " must be at least 1, not " + value);
    }
    return value;
  }

  int threads() {
    return atLeastOne("--threads", threads);
  }

  @Nullable Path cudaPath() {
    return cudaPath;
  }

  /** Opens the device that was asked for, if the options make sense. */
  Target open() {
    rounds();
    return Target.open(device, cudaPath, threads(), clock);
  }

  int rounds() {
    return atLeastOne("--rounds", rounds);
  }

  @Nullable Path json() {
    return json;
  }

  Clock clock() {
    return clock;
  }

  /** A report with the facts that every run shares. */
  Report report(String device) {
    Report report = new Report();
    report.fact("device", device);
    report.fact("jvm", System.getProperty("java.vendor.version", "") + " " + Runtime.version());
    report.fact("clock", clock);
    report.fact("rounds", rounds());
    return report;
  }
}
