package io.minigpt4.serve;

import io.minigpt4.serve.Alarms.Alarm;
import java.io.IOException;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * Runs requests, each on a virtual thread, from the first byte to the end of the answer, and keeps
 * those that are slow to arrive from taking all the places: headers have a limit of time, and where
 * all places are taken, the request that has been arriving for longest makes room for a new one.
 * Requests that are being answered are never ended here; if all are, new ones are turned away.
 */
final class Arrivals implements Executor {
  private static final ScopedValue<Arrival> CURRENT = ScopedValue.newInstance();
  private static final String LATE = "the request does not arrive";

  private final Alarms alarms;
  private final int most;
  private final Duration headLimit;
  private final Set<Arrival> open = new HashSet<>();

  /** Those of {@link #open} that are arriving, the longest first. */
  private final Set<Arrival> arriving = new LinkedHashSet<>();

  /** Something that blocks when the client does not send. */
  interface Read {
    void run() throws IOException;
  }

  /**
   * @param most requests at a time
   * @param headLimit how long a request's line and headers may take
   */
  Arrivals(Alarms alarms, int most, Duration headLimit) {
    this.alarms = alarms;
    this.most = most;
    this.headLimit = headLimit;
  }

  /**
   * Runs a request, whose first byte has come.
   *
   * @throws RejectedExecutionException if all places are taken by requests that are being answered
   */
  @Override
  public synchronized void execute(Runnable request) {
    if (open.size() >= most) {
      if (arriving.isEmpty()) {
        throw new RejectedExecutionException("too many requests at a time");
      }
      Arrival late = arriving.iterator().next();
      arriving.remove(late);
      open.remove(late); // though its thread takes a moment to end
      late.alarm.ring();
    }
    Arrival arrival = new Arrival(request);
    open.add(arrival);
    arriving.add(arrival);
    arrival.thread.start();
  }

  /** The request that this thread runs. */
  static Arrival current() {
    return CURRENT.get();
  }

  /**
   * Waits until no request is being answered.
   *
   * @return whether that came to be in time
   */
  synchronized boolean awaitAnswers(Duration limit) throws InterruptedException {
    long end = System.nanoTime() + limit.toNanos();
    while (open.size() > arriving.size()) {
      long left = (end - System.nanoTime()) / 1_000_000;
      if (left <= 0) {
        return false;
      }
      wait(left);
    }
    return true;
  }

  /** Interrupts everything that runs. */
  synchronized void interruptAll() {
    open.forEach(arrival -> arrival.thread.interrupt());
  }

  private synchronized void end(Arrival arrival) {
    open.remove(arrival);
    arriving.remove(arrival);
    arrival.alarm.off();
    notifyAll();
  }

  /** One request; its methods are for its own thread. */
  final class Arrival {
    private final Thread thread;
    private Alarm alarm;

    private Arrival(Runnable request) {
      thread =
          Thread.ofVirtual()
              .unstarted(
                  () -> {
                    try {
                      ScopedValue.where(CURRENT, this).run(request);
                    } finally {
                      end(this);
                    }
                  });
      alarm = alarms.set(thread, headLimit);
    }

    /**
     * Says that line and headers have come.
     *
     * @throws IOException if that was too late
     */
    void hasHead() throws IOException {
      stop(null);
    }

    /**
     * Reads from the client.
     *
     * @param limit how long it may take
     * @throws IOException if the client has gone, took too long, or had to make room
     */
    void read(Duration limit, Read read) throws IOException {
      synchronized (Arrivals.this) {
        alarm = alarms.set(thread, limit);
        arriving.add(this);
      }
      try {
        read.run();
      } catch (IOException | RuntimeException e) {
        stop(e);
        throw e;
      }
      stop(null);
    }

    /** Turns the alarm off. If it has rung, that is what happened, whatever else did. */
    private void stop(@Nullable Exception cause) throws IOException {
      synchronized (Arrivals.this) {
        arriving.remove(this);
        Arrivals.this.notifyAll();
        if (alarm.off()) {
          throw new IOException(LATE, cause);
        }
      }
    }
  }
}
