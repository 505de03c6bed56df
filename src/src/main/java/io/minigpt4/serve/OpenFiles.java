package io.minigpt4.serve;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How many files the system lets this process have open; connections count as files. */
final class OpenFiles {
  private static final Path LIMITS = Path.of("/proc/self/limits");
  private static final Pattern LINE = Pattern.compile("(?m)^Max open files +(\\d+) ");

  /** Left for weights, libraries and pictures that are fetched. */
  private static final int OTHERS = 256;

  /** As each connection takes a few hundred bytes of the heap. */
  private static final int MOST = 16_384;

  /** What systems without {@code /proc} are taken to allow; macOS gives Java 10,240. */
  private static final int ELSEWHERE = 8192;

  private OpenFiles() {}

  /** How many connections may be open. */
  static int forConnections() {
    return limit().map(files -> Math.clamp(files - OTHERS, 1, MOST)).orElse(MOST);
  }

  /** The limit, which Java has raised as far as it may; empty for none. */
  private static Optional<Long> limit() {
    try {
      Matcher line = LINE.matcher(Files.readString(LIMITS));
      return line.find() ? Optional.of(Long.parseLong(line.group(1))) : Optional.empty();
    } catch (IOException e) {
      return Optional.of((long) ELSEWHERE);
    }
  }
}
