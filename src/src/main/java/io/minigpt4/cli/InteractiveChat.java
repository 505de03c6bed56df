package io.minigpt4.cli;

import io.minigpt4.config.UserHome;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.jline.builtins.Completers.FilesCompleter;
import org.jline.reader.Candidate;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.ParsedLine;
import org.jline.reader.UserInterruptException;
import org.jline.reader.impl.DefaultParser;
import org.jline.terminal.Terminal;
import org.jline.terminal.TerminalBuilder;
import org.jspecify.annotations.Nullable;

/** A chat at a terminal: a prompt with history and completion; Ctrl-C stops an answer only. */
final class InteractiveChat implements AutoCloseable {
  // JLine logs what it makes do without, as where TERM names no terminal that is known, with stack
  // traces between the lines of the conversation. Held, or the setting would be collected.
  private static final Logger JLINE = Logger.getLogger("org.jline");

  private final Terminal terminal;
  private final LineReader reader;
  private volatile boolean stopped;

  /** A chat at the process's terminal, with the user's history. */
  static InteractiveChat open() throws IOException {
    JLINE.setLevel(Level.OFF);
    return new InteractiveChat(
        TerminalBuilder.builder().system(true).dumb(true).nativeSignals(true).build(),
        historyFile());
  }

  /**
   * @param terminal closed by {@link #close}
   * @param history a file that keeps what was typed; null to keep nothing
   */
  InteractiveChat(Terminal terminal, @Nullable Path history) {
    this.terminal = terminal;
    DefaultParser parser = new DefaultParser();
    // Questions hold apostrophes and backslashes that mean nothing.
    parser.setQuoteChars(new char[0]);
    parser.setEscapeChars(new char[0]);
    FilesCompleter files = new FilesCompleter(Path.of(""));
    LineReaderBuilder builder =
        LineReaderBuilder.builder()
            .terminal(terminal)
            .appName("minigpt4")
            .parser(parser)
            .completer((in, line, found) -> complete(files, in, line, found))
            .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true)
            .option(LineReader.Option.HISTORY_IGNORE_DUPS, true);
    if (history != null) {
      builder.variable(LineReader.HISTORY_FILE, history);
    }
    reader = builder.build();
    try {
      reader.getHistory().attach(reader);
    } catch (UncheckedIOException e) {
      reader.setVariable(LineReader.HISTORY_FILE, null); // so that the file stays as it is
      say("the history in " + history + " cannot be read and is left alone");
    }
    terminal.handle(Terminal.Signal.INT, signal -> interrupted());
  }

  Terminal terminal() {
    return terminal;
  }

  /** Whether Ctrl-C was pressed since the last line. */
  boolean stopped() {
    return stopped;
  }

  /** Reads and obeys lines until the user leaves. */
  void run(ChatLoop loop) {
    boolean more = true;
    boolean leaving = false;
    while (more) {
      try {
        String line = reader.readLine("> ");
        stopped = false;
        leaving = false;
        more = loop.line(line);
      } catch (UserInterruptException e) {
        // Ctrl-C drops the line; on an empty one it wants to leave, perhaps.
        boolean empty = e.getPartialLine().isEmpty();
        more = !(empty && leaving);
        leaving = empty;
        if (more && empty) {
          say("Ctrl-C again or Ctrl-D leaves.");
        }
      } catch (EndOfFileException e) {
        more = false;
      } catch (UserException e) {
        say(String.valueOf(e.getMessage()));
      }
    }
  }

  private void say(String line) {
    terminal.writer().println(line);
    terminal.flush();
  }

  /** The first Ctrl-C stops the answer; if that takes too long for the user, the second all. */
  private void interrupted() {
    if (stopped) {
      Runtime.getRuntime().halt(Interrupts.EXIT_CODE);
    }
    stopped = true;
  }

  private static void complete(
      FilesCompleter files, LineReader reader, ParsedLine line, List<Candidate> found) {
    if (line.wordIndex() == 0) {
      if (line.word().startsWith("/")) {
        ChatLoop.COMMANDS.forEach(command -> found.add(new Candidate(command)));
      }
    } else if (line.wordIndex() == 1) {
      switch (line.words().getFirst()) {
        case "/image", "/save" -> files.complete(reader, line, found);
        case "/set" -> ChatSettings.KEYS.forEach(key -> found.add(new Candidate(key)));
        default -> {}
      }
    }
  }

  /** In the folder for programs' state, or null where that cannot be made. */
  private static @Nullable Path historyFile() {
    String state = System.getenv("XDG_STATE_HOME");
    Path home = UserHome.path();
    Path base =
        state == null || state.isBlank() ? home.resolve(".local").resolve("state") : Path.of(state);
    if (!base.isAbsolute()) {
      return null; // a user without a home, whose folder Java calls "?"
    }
    Path file = base.resolve("minigpt4").resolve("history");
    try {
      Files.createDirectories(file.getParent());
    } catch (IOException e) {
      return null;
    }
    return Files.isDirectory(file) ? null : file;
  }

  @Override
  public void close() throws IOException {
    terminal.close();
  }
}
