package io.minigpt4.cli;

import java.io.PrintStream;
import java.util.Locale;

/**
 * Shows on stderr how far some work is: on a terminal a bar, unless it takes less than a second;
 * elsewhere a line every five seconds.
 */
public final class ProgressBar implements AutoCloseable {
  private static final long BAR_PATIENCE_NANOS = 1_000_000_000L;
  private static final long REDRAW_NANOS = 100_000_000L;
  private static final long LINE_NANOS = 5_000_000_000L;
  private static final int CELLS = 30;

  private final String work;
  private final PrintStream err;
  private final boolean terminal;
  private final long start = System.nanoTime();
  private long shownAt;
  private boolean shown;

  /**
   * @param work what is done, e.g. {@code loading}
   * @param terminal whether a line can be drawn over
   */
  ProgressBar(String work, PrintStream err, boolean terminal) {
    this.work = work;
    this.err = err;
    this.terminal = terminal;
  }

  /** One that shows itself on stderr. */
  public static ProgressBar onStderr(String work) {
    return new ProgressBar(work, System.err, Terminals.stderr());
  }

  /** Takes note of progress in bytes. */
  public void bytes(long done, long total) {
    if (due(total)) {
      String size =
          total < 1_000_000_000
              ? String.format(Locale.ROOT, "%.1f MB", total / 1e6)
              : String.format(Locale.ROOT, "%.1f GB", total / 1e9);
      show(done, total, percent(done, total) + " % of " + size);
    }
  }

  /** Takes note of progress in things of one kind. */
  public void items(long done, long total) {
    if (due(total)) {
      show(done, total, done + " of " + total);
    }
  }

  /** Takes note of progress, with a few words on how it goes. */
  void steps(long done, long total, String state) {
    if (due(total)) {
      show(done, total, done + " of " + total + ", " + state);
    }
  }

  private boolean due(long total) {
    long now = System.nanoTime();
    long pause = terminal ? REDRAW_NANOS : LINE_NANOS;
    long patience = terminal ? BAR_PATIENCE_NANOS : LINE_NANOS;
    boolean due = shown ? now - shownAt >= pause : now - start >= patience;
    if (due && total > 0) {
      shown = true;
      shownAt = now;
      return true;
    }
    return false;
  }

  private void show(long done, long total, String amount) {
    if (terminal) {
      int full = (int) (CELLS * percent(done, total) / 100);
      String cells = "#".repeat(full) + " ".repeat(CELLS - full);
      err.print("\r" + work + " [" + cells + "] " + amount + "\033[K");
      err.flush();
    } else {
      err.println("minigpt4: " + work + ": " + amount);
    }
  }

  private static long percent(long done, long total) {
    return 100 * done / total;
  }

  /** Wipes the bar. */
  @Override
  public void close() {
    if (shown && terminal) {
      err.print("\r\033[K");
      err.flush();
    }
  }
}
