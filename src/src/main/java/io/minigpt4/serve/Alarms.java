package io.minigpt4.serve;

import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Ends reads and writes that take too long. A thread that is blocked in one at a channel can only
 * be interrupted, which closes the channel.
 */
final class Alarms implements AutoCloseable {
  private final ScheduledThreadPoolExecutor clock;

  Alarms() {
    clock =
        new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().name("serve-alarms").daemon().factory());
    clock.setRemoveOnCancelPolicy(true);
  }

  /**
   * Sets an alarm.
   *
   * @param thread what it interrupts
   * @param limit after which it does
   */
  Alarm set(Thread thread, Duration limit) {
    Alarm alarm = new Alarm(thread);
    alarm.ringing = clock.schedule(alarm::ring, limit.toMillis(), TimeUnit.MILLISECONDS);
    return alarm;
  }

  @Override
  public void close() {
    clock.shutdownNow();
  }

  /** Interrupts a thread unless it is turned off before. */
  static final class Alarm {
    private final Thread thread;
    private volatile @Nullable Future<?> ringing;
    private boolean isOff;
    private boolean hasRung;

    private Alarm(Thread thread) {
      this.thread = thread;
    }

    /** Rings, at its time or before. */
    synchronized void ring() {
      if (!isOff) {
        hasRung = true;
        thread.interrupt();
      }
    }

    /**
     * Turns it off, on the thread that it is for, and takes back the interrupt if there was one.
     *
     * @return whether it has rung
     */
    synchronized boolean off() {
      isOff = true;
      Future<?> pending = ringing;
      if (pending != null) {
        pending.cancel(false);
      }
      if (hasRung) {
        Thread.interrupted();
      }
      return hasRung;
    }
  }
}
