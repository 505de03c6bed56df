package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class StandardOutputTest {
  @Test
  void passesOnWhatIsWritten() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    StandardOutput output = new StandardOutput(bytes);

    print(output, "naïve ✓\n");

    assertThat(bytes.toString(StandardCharsets.UTF_8)).isEqualTo("naïve ✓\n");
    assertThat(output.loss()).isNull();
  }

  @Test
  void remembersWhyOutputWasLost() {
    StandardOutput output = new StandardOutput(failing("No space left on device"));

    print(output, "answer");

    assertThat(output.loss()).hasMessage("No space left on device");
  }

  @Test
  void aReaderThatWentAwayIsNoLoss() {
    StandardOutput output = new StandardOutput(failing("Broken pipe"));

    print(output, "answer");

    assertThat(output.loss()).isNull();
  }

  private static void print(StandardOutput output, String text) {
    PrintWriter writer = Terminals.writer(output, StandardCharsets.US_ASCII);
    writer.print(text);
    writer.flush();
  }

  private static OutputStream failing(String why) {
    return new OutputStream() {
      @Override
      public void write(int octet) throws IOException {
        throw new IOException(why);
      }
    };
  }
}
