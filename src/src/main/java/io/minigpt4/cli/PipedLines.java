package io.minigpt4.cli;

import io.minigpt4.tensor.UserException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** The lines that come through a pipe, in UTF-8, none of which can fill the memory. */
final class PipedLines {
  private static final int LONGEST = 1 << 20;

  private final BufferedReader in;

  PipedLines(InputStream in) {
    this.in = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
  }

  /**
   * The next line without its end, or null if there is none.
   *
   * @throws UserException if it is longer than any question can be
   * @throws IOException if reading fails
   */
  @Nullable String next() throws IOException {
    StringBuilder line = new StringBuilder();
    int c = in.read();
    if (c < 0) {
      return null;
    }
    for (; c >= 0 && c != '\n'; c = in.read()) {
      if (line.length() == LONGEST) {
        throw new UserException(
            "a line of the input has more than "
                + LONGEST
                + " characters; ask one question a line, in text");
      }
      line.append((char) c);
    }
    return line.toString();
  }
}
