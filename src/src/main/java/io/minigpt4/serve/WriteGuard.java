package io.minigpt4.serve;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Ends writes to clients that do not read. A thread that is blocked in a write to a channel can
 * only be interrupted, which closes the channel.
 */
final class WriteGuard implements AutoCloseable {
  private static final String LATE = "the client does not read";

  private final Duration limit;
  private final ScheduledThreadPoolExecutor clock;

  /** Something that blocks when the client does not read. */
  interface Write {
    void run() throws IOException;
  }

  /**
   * @param limit how long a write may take
   */
  WriteGuard(Duration limit) {
    this.limit = limit;
    clock =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().name("serve-write-guard").daemon().factory());
    clock.setRemoveOnCancelPolicy(true);
  }

  /**
   * Writes.
   *
   * @throws IOException if the client has gone, or did not read in time
   */
  void run(Write write) throws IOException {
    run(limit, write);
  }

  /** As {@link #run(Write)}, with a limit of its own. */
  void run(Duration most, Write write) throws IOException {
    Alarm alarm = new Alarm(Thread.currentThread());
    Future<?> ringing = clock.schedule(alarm, most.toMillis(), TimeUnit.MILLISECONDS);
    try {
      write.run();
    } catch (IOException | RuntimeException e) {
      if (alarm.off(ringing)) {
        throw new IOException(LATE, e);
      }
      throw e;
    }
    if (alarm.off(ringing)) {
      throw new IOException(LATE);
    }
  }

  /** Interrupts a thread unless it is turned off before. */
  private static final class Alarm implements Runnable {
    private final Thread writer;
    private boolean isOff;
    private boolean hasRung;

    Alarm(Thread writer) {
      this.writer = writer;
    }

    @Override
    public synchronized void run() {
      if (!isOff) {
        hasRung = true;
        writer.interrupt();
      }
    }

    /** Turns it off; returns whether it has rung, and takes back the interrupt if so. */
    synchronized boolean off(Future<?> ringing) {
      isOff = true;
      ringing.cancel(false);
      if (hasRung) {
        Thread.interrupted();
      }
      return hasRung;
    }
  }

  @Override
  public void close() {
    clock.shutdownNow();
  }
}
