package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.cli.Commands;
import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Options that measure nothing are refused before anything is loaded. */
class BenchOptionsTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "vision --layers 0 | --layers must be at least 1, not 0",
        "vision --batch -1 | --batch must be at least 1, not -1",
        "batch --sequences 1,0 | --sequences must be at least 1, not 0",
        "batch --tokens 0 | --tokens must be at least 1, not 0",
        "batch --prompt 0 | --prompt must be at least 1, not 0",
        "train --batch 0 | --batch must be at least 1, not 0",
        "llm --tokens 0 | --tokens must be at least 1, not 0",
        "llm --prompt 2049 | --prompt must be at most 2048, not 2049",
        "llm --rounds 0 | --rounds must be at least 1, not 0",
        "kernels --threads 0 | --threads must be at least 1, not 0",
        "kernels --only nothing | no benchmark has 'nothing' in its name",
        "compare nowhere.json nowhere.json | nowhere.json cannot be read: no such file",
        "serve --url http://127.0.0.1:1 --seconds 1 | nothing listens at http://127.0.0.1:1",
      })
  void whatMeasuresNothingIsRefused(String arguments, String reason) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code =
        Commands.run(
            new Main(), new PrintWriter(out), new PrintWriter(err), arguments.split(" ", -1));
    assertThat(err.toString()).contains(reason).hasLineCount(1);
    assertThat(code).isEqualTo(Commands.BAD_INPUT);
  }
}
