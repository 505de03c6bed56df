package io.minigpt4;

/**
 * Ends a child process of {@code Launcher} when its parent is gone, even if that was killed without
 * a chance to say so.
 */
final class OrphanGuard {
  /** 128 + SIGTERM: what a shell reports for a program that was told to end. */
  private static final int TERMINATED = 143;

  private OrphanGuard() {}

  /** Watches the parent process from now on; costs a thread that sleeps. */
  public static void start() {
    ProcessHandle.current().parent().ifPresent(OrphanGuard::watch);
  }

  private static void watch(ProcessHandle parent) {
    Thread.ofVirtual()
        .name("orphan-guard")
        .start(
            () -> {
              parent.onExit().join();
              System.exit(TERMINATED);
            });
  }
}
