package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.chat.Answer;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.Timings;
import it.unimi.dsi.fastutil.ints.IntList;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import org.junit.jupiter.api.Test;

class TurnPrinterTest {
  private static final String HOSTILE = "a\u001b]0;title\u0007\nb";
  private static final GenerationConfig CONFIG = GenerationConfig.builder().seed(7).build();

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private TurnPrinter printer(boolean json, boolean terminal) {
    return new TurnPrinter(
        new Sink(new PrintWriter(out), terminal),
        new Sink(new PrintWriter(err), terminal),
        json,
        () -> false);
  }

  private static Answer answer() {
    Generation generation =
        new Generation(
            IntList.of(5, 6), HOSTILE, FinishReason.EOS, new Timings(9, 4, 2, 1000, 1000));
    return new Answer("what?", generation, 0);
  }

  private void print(TurnPrinter printer) {
    GenerationListener listener = printer.listener(printer.waiting("thinking"));
    listener.onText(HOSTILE.substring(0, 3));
    listener.onText(HOSTILE.substring(3));
    printer.show(answer(), List.of("x.png"), CONFIG);
  }

  @Test
  void aTerminalGetsNoControlCharactersOfTheModel() {
    print(printer(false, true));
    assertThat(out.toString())
        .isEqualToNormalizingNewlines("a\ufffd]0;title\ufffd\nb\n")
        .doesNotContain("\u001b");
  }

  @Test
  void aFileGetsTheTextAsItIs() {
    print(printer(false, false));
    assertThat(out.toString()).isEqualToNormalizingNewlines(HOSTILE + "\n");
  }

  @Test
  void jsonEscapesControlCharactersAndKeepsThem() {
    print(printer(true, true));
    assertThat(out.toString()).doesNotContain("\u001b").hasLineCount(1);
    ConfigNode turn = JsonFile.parse("turn", out.toString());
    assertThat(turn.get("text").asText()).isEqualTo(HOSTILE);
    assertThat(turn.get("finish_reason").asText()).isEqualTo("eos");
  }

  @Test
  void jsonIsAsciiWhateverIsAsked() {
    String question = "Größe \ud83d\ude00 \u2028 \u0085 \ud800?";
    printer(true, false).refuse(question, List.of("図.png"), CONFIG, "no");
    assertThat(out.toString().strip()).matches("[ -~]+");
    ConfigNode turn = JsonFile.parse("turn", out.toString());
    assertThat(turn.get("prompt").asText()).isEqualTo(question);
    assertThat(turn.get("images").asList().getFirst().asText()).isEqualTo("図.png");
  }

  @Test
  void aRefusedTurnIsAnObjectInJsonAndNothingInText() {
    printer(false, false).refuse("what?", List.of(), CONFIG, "too long");
    assertThat(out.toString()).isEmpty();
    printer(true, false).refuse("what?", List.of(), CONFIG, "too long");
    ConfigNode turn = JsonFile.parse("turn", out.toString());
    assertThat(turn.get("prompt").asText()).isEqualTo("what?");
    assertThat(turn.get("token_ids").asList()).isEmpty();
    assertThat(turn.get("text").asText()).isEmpty();
    assertThat(turn.get("finish_reason").asText()).isEqualTo("error");
    assertThat(turn.get("error").asText()).isEqualTo("too long");
    assertThat(turn.get("timings").integer("new_tokens", 0, 9)).isZero();
  }
}
