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

  /**
   * More than one address can have: it has 65,535 ports. Whoever opens connections and sends
   * nothing must not, alone, keep others off for the minute that such a connection may last.
   */
  private static final int MOST = 3 << 15;

  /** Of the heap, as much as a silent connection takes; measured, 940 bytes. */
  private static final int BYTES = 1024;

  /** The part of the heap that connections may take. */
  private static final int HEAP_PART = 8;

  /** What systems without {@code /proc} are taken to allow; macOS gives Java 10,240. */
  private static final int ELSEWHERE = 8192;

  private OpenFiles() {}

  /** How many connections may be open. */
  static int forConnections() {
    return forConnections(limit(), Runtime.getRuntime().maxMemory());
  }

  /**
   * How many connections may be open.
   *
   * @param files that may be open; empty for any number
   * @param heap bytes
   */
  static int forConnections(Optional<Long> files, long heap) {
    long most = Math.min(MOST, heap / HEAP_PART / BYTES);
    return (int) Math.max(1, Math.min(most, files.orElse(Long.MAX_VALUE) - OTHERS));
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
