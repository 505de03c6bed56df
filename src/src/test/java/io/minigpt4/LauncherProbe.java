package io.minigpt4;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import jdk.incubator.vector.FloatVector;

/** What {@link LauncherIT} has the launcher start in the engine's place. */
public final class LauncherProbe {
  /** The exit code after an interrupt. */
  static final int INTERRUPTED = 42;

  private LauncherProbe() {}

  /** Does what the first argument says. */
  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "exit" -> System.exit(Integer.parseInt(args[1]));
      case "echo" -> System.out.write(System.in.readAllBytes());
      case "vector" -> System.out.print(FloatVector.SPECIES_128.length());
      case "arguments" -> System.out.print(String.join("|", args));
      case "machine" ->
          System.out.print(
              String.format(
                  Locale.ROOT,
                  "%d %d %s",
                  Runtime.version().feature(),
                  Runtime.getRuntime().maxMemory() >> 20,
                  System.getProperty("probe")));
      case "wait" -> waitForInterrupt();
      default -> throw new IllegalArgumentException(args[0]);
    }
    System.out.flush();
  }

  private static void waitForInterrupt() throws InterruptedException {
    CountDownLatch interrupted = new CountDownLatch(1);
    Launcher.onInterrupt(interrupted::countDown);
    byte[] ready = (ProcessHandle.current().pid() + "\n").getBytes(StandardCharsets.UTF_8);
    System.out.write(ready, 0, ready.length);
    System.out.flush();
    interrupted.await();
    System.exit(INTERRUPTED);
  }
}
