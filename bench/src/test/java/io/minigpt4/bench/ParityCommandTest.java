package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The parity check, with the processor compared to itself. */
class ParityCommandTest {
  @TempDir private Path folder = Path.of("");

  @Test
  void theProcessorAgreesWithItself() {
    Path file = folder.resolve("parity.json");
    StringWriter text = new StringWriter();
    CommandLine line = new CommandLine(new ParityCommand()).setOut(new PrintWriter(text));
    int code =
        line.execute("--small", "--layers", "1", "--threads", "2", "--json", file.toString());
    assertThat(text.toString())
        .containsPattern("LLaMA, prefill of 20 +error \\S+  passed")
        .containsPattern("the same best token +9 of 9")
        .containsPattern("vision transformer, one image +error 0.0e\\+00  passed")
        .containsPattern("Q-Former, one image +error 0.0e\\+00  passed")
        .doesNotContain("FAILED");
    assertThat(code).isZero();
    assertThat(SavedReport.read(file).rows()).hasSize(11);
  }

  @Test
  void errorsArePartsOfTheLargestValue() {
    float[] expected = {1, -4, 2};
    assertThat(ParityCommand.error(expected, new float[] {1, -4, 2.5f})).isEqualTo(0.125);
    assertThat(ParityCommand.error(expected, new float[] {1, Float.NaN, 2})).isInfinite();
    assertThat(ParityCommand.error(new float[2], new float[] {0, 1})).isInfinite();
  }
}
