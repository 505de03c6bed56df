package io.minigpt4.cli;

import java.io.Console;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** Whether the standard streams are a terminal, found out without loading a terminal library. */
final class Terminals {
  private Terminals() {}

  /** Whether a person types at stdin. */
  static boolean stdin() {
    return isTerminal(0);
  }

  /** Whether a person reads stdout. */
  static boolean stdout() {
    return isTerminal(1);
  }

  /** Whether a line on stderr can be drawn over: it is a terminal, and not a dumb one. */
  static boolean stderr() {
    return isTerminal(2) && !areDumb();
  }

  /** Whether the user's terminal has no way to draw over a line. */
  static boolean areDumb() {
    return "dumb".equals(System.getenv("TERM"));
  }

  /**
   * A writer to a standard stream, in UTF-8 where the locale knows nothing but ASCII: what the
   * model writes must not turn into question marks.
   *
   * @param charset the locale's
   */
  static PrintWriter writer(OutputStream stream, Charset charset) {
    boolean ascii = charset.equals(StandardCharsets.US_ASCII);
    return new PrintWriter(stream, false, ascii ? StandardCharsets.UTF_8 : charset);
  }

  @SuppressWarnings("SystemConsoleNull") // the specification still allows null
  private static boolean isTerminal(int descriptor) {
    try {
      Path link = Path.of("/proc/self/fd/" + descriptor);
      if (Files.isSymbolicLink(link)) {
        String target = Files.readSymbolicLink(link).toString();
        return target.startsWith("/dev/pts/")
            || target.startsWith("/dev/tty")
            || target.equals("/dev/console");
      }
    } catch (IOException | InvalidPathException e) {
      // No such view of the descriptors on this system: ask the JDK, which knows less.
    }
    Console console = System.console();
    return console != null && console.isTerminal();
  }
}
