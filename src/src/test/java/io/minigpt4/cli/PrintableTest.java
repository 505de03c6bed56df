package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PrintableTest {
  @Test
  void controlCharactersOfATerminalAreReplaced() {
    // an escape sequence, a carriage return, a bell, DEL, and the one-character CSI of C1
    String hostile = "a\u001b[2Jb\rc\u0007d\u007fe\u009b31m\0";
    String safe = "a\ufffd[2Jb\ufffdc\ufffdd\ufffde\ufffd31m\ufffd";
    assertThat(Printable.text(hostile)).isEqualTo(safe);
    assertThat(Printable.line(hostile)).isEqualTo(safe);
  }

  @Test
  void linesAndTabsStayInTextOfManyLines() {
    assertThat(Printable.text("a\n\tb")).isEqualTo("a\n\tb");
    assertThat(Printable.line("a\n\tb")).isEqualTo("a\ufffd\ufffdb");
  }

  @Test
  void lettersOfAnyScriptStay() {
    String text = "Größe 图 \ud83d\ude00 שלום e\u0301";
    assertThat(Printable.text(text)).isSameAs(text);
  }
}
