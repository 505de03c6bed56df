package io.minigpt4.cli;

import org.jline.utils.Signals;

/**
 * Ctrl-C outside the interactive prompt: the first one stops the answer that is being generated;
 * without one, and the second time, it ends the program.
 */
final class Interrupts {
  /** Exit code of a program that Ctrl-C ended, by the shells' custom: 128 + SIGINT. */
  static final int EXIT_CODE = 130;

  private volatile boolean answering;
  private volatile boolean stopped;
  private final Runnable whenStopped;

  /** For what stops at once. */
  Interrupts() {
    this(() -> {});
  }

  /**
   * @param whenStopped is called by the first Ctrl-C, on another thread
   */
  Interrupts(Runnable whenStopped) {
    this.whenStopped = whenStopped;
  }

  /** Takes the signal over from the JVM. */
  void install() {
    Signals.register("INT", this::interrupted);
  }

  /** Takes SIGTERM over too, by which batch systems and launchers ask a job to end. */
  void installTermination() {
    Signals.register("TERM", this::interrupted);
  }

  /** Says that an answer begins or has ended. */
  void answering(boolean now) {
    answering = now;
  }

  /** Whether an answer was stopped. */
  boolean stopped() {
    return stopped;
  }

  private void interrupted() {
    if (!answering || stopped) {
      // No clean-up is due: nothing is being written that a reader could mistake for whole.
      Runtime.getRuntime().halt(EXIT_CODE);
    }
    stopped = true;
    whenStopped.run();
  }
}
