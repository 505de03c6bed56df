package io.minigpt4.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * A fork-join team of one caller and some daemon threads. A job is a task and a number of items;
 * whoever is free takes the next item. Running a job allocates nothing.
 *
 * <p>A worker that is asleep, or kept from its core by other programs, is not waited for: workers
 * enter a job through a gate that the caller closes when the items have run out, and only those
 * inside are waited for. Workers spin for a while after a job, because the next operation of a
 * model follows at once, and then park.
 */
final class Team implements AutoCloseable {
  /** What the items of a job do. */
  interface Task {
    /**
     * Does one item.
     *
     * @param item which, from 0
     * @param worker who does it, from 0 (the caller) to {@link Team#size} − 1
     */
    void run(int item, int worker);
  }

  /**
   * Long enough to bridge the serial parts of a decode step and the last item of another thread,
   * which may stream a megabyte of weights; waking a thread that is parked takes 50 µs.
   */
  private static final long SPIN_NANOS = 200_000;

  private static final int OPEN = 1 << 30;

  private final Worker[] workers;

  /** {@link #OPEN} while workers may enter, plus the number of workers inside. */
  private final AtomicInteger gate = new AtomicInteger();

  private final AtomicInteger next = new AtomicInteger();
  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
  private @Nullable Task task;
  private int items;
  private @Nullable Thread caller;
  private int jobs;
  private volatile int job;
  private volatile boolean callerParked;
  private volatile boolean closed;

  /**
   * Starts the workers.
   *
   * @param size number of threads including the caller, at least 1
   */
  Team(int size) {
    workers = new Worker[size - 1];
    for (int i = 0; i < workers.length; i++) {
      workers[i] = new Worker(i + 1);
      workers[i].start();
    }
  }

  /** Number of threads, the caller included. */
  int size() {
    return workers.length + 1;
  }

  /**
   * Runs items 0 to {@code count} − 1 and returns when all are done. If one throws, no further
   * items are started and the exception is thrown here.
   */
  void run(Task work, int count) {
    if (count <= 1 || workers.length == 0) {
      for (int i = 0; i < count; i++) {
        work.run(i, 0);
      }
      return;
    }
    if (closed) {
      throw new IllegalStateException("the team is closed");
    }
    task = work;
    items = count;
    caller = Thread.currentThread();
    next.set(0);
    gate.set(OPEN);
    job = ++jobs;
    for (int i = 0; i < workers.length && i < count - 1; i++) {
      if (workers[i].parked) {
        LockSupport.unpark(workers[i]);
      }
    }
    takeItems(work, 0);
    gate.getAndAdd(-OPEN);
    awaitWorkers();
    task = null;
    Throwable thrown = failure.getAndSet(null);
    if (thrown instanceof Error error) {
      throw error;
    } else if (thrown != null) {
      throw (RuntimeException) thrown;
    }
  }

  private void takeItems(Task work, int worker) {
    try {
      int count = items;
      for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
        work.run(i, worker);
      }
    } catch (RuntimeException | Error e) {
      next.set(items);
      failure.compareAndSet(null, e);
    }
  }

  private void awaitWorkers() {
    if (gate.get() == 0) {
      return;
    }
    long start = System.nanoTime();
    while (gate.get() != 0) {
      if (System.nanoTime() - start < SPIN_NANOS) {
        Thread.onSpinWait();
      } else {
        callerParked = true;
        if (gate.get() != 0) {
          LockSupport.parkNanos(this, 1_000_000);
        }
        callerParked = false;
      }
    }
  }

  @Override
  public void close() {
    closed = true;
    for (Worker worker : workers) {
      LockSupport.unpark(worker);
    }
    boolean interrupted = false;
    for (Worker worker : workers) {
      while (worker.isAlive()) {
        try {
          worker.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  private final class Worker extends Thread {
    private final int number;
    private volatile boolean parked;

    Worker(int number) {
      super("cpu-worker-" + number);
      this.number = number;
      setDaemon(true);
    }

    @Override
    public void run() {
      int seen = 0;
      while (!closed) {
        int current = job;
        if (current == seen) {
          awaitJob(seen);
          continue;
        }
        seen = current;
        enter();
      }
    }

    private void awaitJob(int seen) {
      long start = System.nanoTime();
      while (job == seen && !closed) {
        if (System.nanoTime() - start < SPIN_NANOS) {
          Thread.onSpinWait();
        } else {
          parked = true;
          if (job == seen && !closed) {
            LockSupport.park(Team.this);
          }
          parked = false;
        }
      }
    }

    /** Works on the current job, unless its gate is closed already. */
    private void enter() {
      int state = gate.get();
      while ((state & OPEN) != 0) {
        int witness = gate.compareAndExchange(state, state + 1);
        if (witness == state) {
          Task work = task;
          if (work != null) {
            takeItems(work, number);
          }
          if (gate.decrementAndGet() == 0 && callerParked) {
            LockSupport.unpark(caller);
          }
          return;
        }
        state = witness;
      }
    }
  }
}
