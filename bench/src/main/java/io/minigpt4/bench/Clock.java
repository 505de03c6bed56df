package io.minigpt4.bench;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;

/** How time is taken. */
enum Clock {
  /** Time as it passes. */
  WALL,
  /**
   * Processor time of the calling thread: on a machine that is busy with other work it still shows
   * what one thread does while it runs.
   */
  CPU;

  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

  private long nanos() {
    return this == CPU ? THREADS.getCurrentThreadCpuTime() : System.nanoTime();
  }

  /** Seconds that the work took. */
  double seconds(Runnable work) {
    long start = nanos();
    work.run();
    return Math.max(1, nanos() - start) * 1e-9;
  }
}
