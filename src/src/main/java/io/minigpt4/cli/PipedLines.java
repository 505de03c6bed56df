package io.minigpt4.cli;

import io.minigpt4.tensor.UserException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** The lines that come through a pipe, in UTF-8, none of which can fill the memory. */
final class PipedLines {
  private static final int LONGEST = 1 << 20;

  private final InputStream in;
  private long number;

  PipedLines(InputStream in) {
    this.in = new BufferedInputStream(in);
  }

  /**
   * The next line without its end, or null if there is none.
   *
   * @throws UserException if it is longer than any question can be, or not UTF-8
   * @throws IOException if reading fails
   */
  @Nullable String next() throws IOException {
    int c = in.read();
    if (c < 0) {
      return null;
    }
    number++;
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    for (; c >= 0 && c != '\n'; c = in.read()) {
      if (line.size() == LONGEST) {
        throw new UserException(
            "line "
                + number
                + " of the input has more than "
                + LONGEST
                + " bytes; ask one question a line, in text");
      }
      line.write(c);
    }
    return text(line.toByteArray());
  }

  private String text(byte[] line) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
    } catch (CharacterCodingException e) {
      throw new UserException(
          "line " + number + " of the input is not UTF-8; convert it, as with iconv -t UTF-8", e);
    }
  }
}
