package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** Reports written, read back and compared. */
class CompareCommandTest {
  @TempDir private Path folder = Path.of("");

  private Path report(String name, double rate, double milliseconds) {
    Report report = new Report();
    report.fact("device", name);
    report.add("decode", "token/s", rate);
    report.add("decode", "token/s", 2 * rate);
    report.add("decode", "token/s", 3 * rate);
    report.add("one image", "ms", milliseconds);
    report.add("only " + name, "GB/s", 5, 10);
    Path file = folder.resolve(name + ".json");
    report.write(file);
    return file;
  }

  private static String run(int expected, Path a, Path b) {
    StringWriter text = new StringWriter();
    CommandLine line = new CommandLine(new CompareCommand()).setOut(new PrintWriter(text));
    assertThat(line.execute(a.toString(), b.toString())).isEqualTo(expected);
    return text.toString();
  }

  @Test
  void ratesAndTimesCompareBothSaysHowManyTimesAsFast() {
    String text = run(0, report("fast", 20, 2), report("slow", 10, 8));
    assertThat(text)
        .contains("fast.json, fast")
        .containsPattern("decode +40.00 +20.00 token/s +2.00 \\(0.67 to 6.00\\)")
        .containsPattern("one image +2.00 +8.00 ms +4.00 \\(4.00 to 4.00\\)")
        .contains("only in A: only fast")
        .contains("only in B: only slow");
  }

  @Test
  void aPeersFileMayLackValuesAndHaveMore() throws IOException {
    Path peer = folder.resolve("peer.json");
    Files.writeString(
        peer,
        """
        {"peer": "PyTorch", "failed": {"vision": "no time left"},
         "results": [{"name": "decode", "unit": "token/s", "median": 4, "more": [1]}]}
        """);
    assertThat(run(0, report("ours", 1, 1), peer))
        .containsPattern("decode +2.00 +4.00 token/s +0.50 \\(0.25 to 0.75\\)");
  }

  @Test
  void nothingInCommonFails() throws IOException {
    Path other = folder.resolve("other.json");
    Files.writeString(
        other, "{\"results\": [{\"name\": \"decode\", \"unit\": \"ms\", \"median\": 4}]}");
    assertThat(run(1, report("ours", 1, 1), other)).contains("nothing in both");
  }

  @Test
  void whatIsNoReportIsNamed() throws IOException {
    Path file = folder.resolve("x.json");
    assertThatThrownBy(() -> SavedReport.read(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("x.json");
    Files.writeString(file, "[1]");
    assertThatThrownBy(() -> SavedReport.read(file)).hasMessageContaining("no JSON object");
    Files.writeString(file, "{\"device\": \"cpu\"}");
    assertThatThrownBy(() -> SavedReport.read(file)).hasMessageContaining("no array \"results\"");
    Files.writeString(file, "{\"results\": [{\"unit\": \"ms\"}]}");
    assertThatThrownBy(() -> SavedReport.read(file)).hasMessageContaining("no name or no median");
    Files.writeString(file, "{\"results\": [");
    assertThatThrownBy(() -> SavedReport.read(file)).isInstanceOf(UserException.class);
  }
}
