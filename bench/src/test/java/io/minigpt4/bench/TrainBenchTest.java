package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The benchmark of training runs, and reports what it did. */
class TrainBenchTest {
  @TempDir private Path folder = Path.of("");

  @Test
  void aSmallStep() {
    Path file = folder.resolve("train.json");
    StringWriter text = new StringWriter();
    CommandLine line = new CommandLine(new TrainBench()).setOut(new PrintWriter(text));
    String[] arguments = {
      "--shape",
      "TINY",
      "--batch",
      "2",
      "--rounds",
      "1",
      "--threads",
      "2",
      "--json",
      file.toString()
    };
    assertThat(line.execute(arguments)).isZero();
    assertThat(text.toString()).contains("2 samples of 53 rows", "training, samples");
    assertThat(SavedReport.read(file).rows()).hasSize(6);
  }
}
