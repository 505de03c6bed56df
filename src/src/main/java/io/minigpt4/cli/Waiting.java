package io.minigpt4.cli;

import java.io.PrintWriter;

/**
 * Says on a terminal what the user is waiting for and since when, once it takes longer than a
 * second; the line is wiped at the end.
 */
final class Waiting {
  private static final long STEP_MILLIS = 1000;

  /** A line that is longer than the terminal is wide could not be drawn over. */
  private static final int WIDTH = 60;

  private final PrintWriter err;
  private final String what;
  private final Thread ticker;
  private boolean ended;
  private boolean shown;

  private Waiting(PrintWriter err, String what) {
    this.err = err;
    this.what = what;
    this.ticker = Thread.ofVirtual().unstarted(this::tick);
  }

  /**
   * Begins to wait.
   *
   * @param err shown there if it is a terminal, where a line can be drawn over
   * @param what in the words of the user, e.g. {@code looking at scene.png}
   */
  static Waiting begin(Sink err, String what) {
    String line = Printable.line(what);
    boolean fits = line.length() <= WIDTH;
    Waiting waiting = new Waiting(err.writer(), fits ? line : line.substring(0, WIDTH - 1) + "…");
    if (err.terminal()) {
      waiting.ticker.start();
    }
    return waiting;
  }

  private void tick() {
    try {
      for (int seconds = 1; ; seconds++) {
        Thread.sleep(STEP_MILLIS);
        if (!show(seconds)) {
          return;
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private synchronized boolean show(int seconds) {
    if (!ended) {
      shown = true;
      err.print("\r" + what + " … " + seconds + " s\033[K");
      err.flush();
    }
    return !ended;
  }

  /** Ends the wait and wipes the line. Again and again does nothing. */
  synchronized void end() {
    if (!ended) {
      ended = true;
      ticker.interrupt();
      if (shown) {
        err.print("\r\033[K");
        err.flush();
      }
    }
  }
}
