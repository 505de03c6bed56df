package io.minigpt4.serve;

import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Ends writes to clients that do not read. A thread that is blocked in a write to a channel can
 * only be interrupted, which closes the channel.
 */
final class WriteGuard implements AutoCloseable {
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
    Thread writer = Thread.currentThread();
    AtomicBoolean over = new AtomicBoolean();
    Future<?> alarm =
        clock.schedule(
            () -> {
              if (over.compareAndSet(false, true)) {
                writer.interrupt();
              }
            },
            limit.toMillis(),
            TimeUnit.MILLISECONDS);
    try {
      write.run();
    } finally {
      alarm.cancel(false);
      if (!over.compareAndSet(false, true)) {
        throw new IOException("the client does not read");
      }
    }
  }

  @Override
  public void close() {
    clock.shutdownNow();
  }
}
