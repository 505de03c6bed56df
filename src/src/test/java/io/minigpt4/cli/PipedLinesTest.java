package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class PipedLinesTest {
  private static PipedLines of(String text) {
    return new PipedLines(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
  }

  @Test
  void linesComeOneByOneWithTheLastOneWhole() throws IOException {
    PipedLines lines = of("Größe?\n\nlast");
    assertThat(lines.next()).isEqualTo("Größe?");
    assertThat(lines.next()).isEmpty();
    assertThat(lines.next()).isEqualTo("last");
    assertThat(lines.next()).isNull();
    assertThat(of("").next()).isNull();
  }

  @Test
  void whatIsNotUtf8IsRefusedWithItsLine() throws IOException {
    byte[] latin = "ok\nGrö".getBytes(StandardCharsets.ISO_8859_1);
    PipedLines lines = new PipedLines(new ByteArrayInputStream(latin));
    assertThat(lines.next()).isEqualTo("ok");
    assertThatThrownBy(lines::next)
        .isInstanceOf(UserException.class)
        .hasMessageContaining("line 2 of the input is not UTF-8");
  }

  @Test
  void anEndlessLineIsRefused() {
    InputStream endless =
        new InputStream() {
          @Override
          public int read() {
            return 'x';
          }
        };
    assertThatThrownBy(() -> new PipedLines(endless).next())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("line 1 of the input has more than 1048576 bytes");
  }
}
