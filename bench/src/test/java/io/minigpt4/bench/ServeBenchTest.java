package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** The load test: a short one, against a server with the built-in model. */
class ServeBenchTest {
  @TempDir private Path folder = Path.of("");

  @Test
  void someClientsForSomeSeconds() {
    Path file = folder.resolve("serve.json");
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    CommandLine line =
        new CommandLine(new ServeBench()).setOut(new PrintWriter(out)).setErr(new PrintWriter(err));
    int code =
        line.execute(
            "--clients",
            "8",
            "--seconds",
            "3",
            "--warm-up",
            "2",
            "--api-key",
            "test-key",
            "--json",
            file.toString(),
            "--",
            "--max-running",
            "4",
            "--threads",
            "2");
    assertThat(err.toString()).isEmpty();
    assertThat(code).isZero();
    assertThat(out.toString()).contains("model: demo on cpu, 2 threads", "first token, p99");
    Map<String, SavedReport.Row> rows = SavedReport.read(file).rows();
    assertThat(value(rows, "answers")).isGreaterThanOrEqualTo(8);
    assertThat(value(rows, "errors")).isZero();
    assertThat(value(rows, "first token, p99")).isGreaterThan(value(rows, "first token, p50"));
    assertThat(value(rows, "server's memory at the end")).isGreaterThan(50);
  }

  private static double value(Map<String, SavedReport.Row> rows, String name) {
    return Objects.requireNonNull(rows.get(name), name).median();
  }

  @Test
  void aServerThatIsNotThereIsAnError() {
    StringWriter err = new StringWriter();
    CommandLine line = new CommandLine(new ServeBench()).setErr(new PrintWriter(err));
    assertThat(line.execute("--url", "http://127.0.0.1:1", "--seconds", "1")).isNotZero();
  }

  @Test
  void quantilesAreValuesThatWere() {
    List<Long> values = List.of(5L, 1L, 4L, 2L, 3L);
    assertThat(LoadTally.quantile(values, 0.5)).isEqualTo(3);
    assertThat(LoadTally.quantile(values, 0.99)).isEqualTo(5);
    assertThat(LoadTally.quantile(List.of(), 0.5)).isZero();
  }

  @Test
  void drawingsArePictures() {
    SplittableRandom random = new SplittableRandom(1);
    Picture one = Pictures.read(Drawing.bmp(random), "one", PictureOptions.DEFAULT);
    assertThat(one.width()).isEqualTo(112);
    assertThat(Drawing.bmp(random)).isNotEqualTo(Drawing.bmp(random));
  }
}
