package io.minigpt4.softgpu.driver;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/** The ranks of one communicator and what they are doing together. */
final class Clique {
  private static final long PATIENCE = TimeUnit.SECONDS.toNanos(60);

  private final boolean[] joined;
  private final long[] steps;
  private final Map<Long, Collective> underWay = new HashMap<>();
  private int missing;
  private @Nullable String broken;

  Clique(int ranks) {
    joined = new boolean[ranks];
    steps = new long[ranks];
    missing = ranks;
  }

  int ranks() {
    return joined.length;
  }

  synchronized void join(int rank) {
    if (joined[rank]) {
      throw new Status(Status.INVALID_VALUE, "rank %d has joined already".formatted(rank));
    }
    joined[rank] = true;
    missing--;
    notifyAll();
  }

  synchronized void awaitAll() {
    awaitWhile(() -> missing > 0, "not all ranks have joined");
  }

  /** Ends all waiting, now and later. */
  synchronized void breakUp(String reason) {
    broken = reason;
    notifyAll();
  }

  synchronized boolean isBroken() {
    return broken != null;
  }

  /**
   * A rank's part in its next collective; the last rank's carries it out.
   *
   * @return the step to wait for
   */
  synchronized long announce(Collective.Request request, int rank, Collective.Part part) {
    long step = steps[rank]++;
    Collective c = underWay.computeIfAbsent(step, unused -> new Collective(request, ranks()));
    try {
      if (c.take(request, rank, part)) {
        c.run();
        underWay.remove(step);
        notifyAll();
      }
    } catch (Status e) {
      breakUp(String.valueOf(e.getMessage()));
      throw e;
    }
    return step;
  }

  synchronized void await(long step) {
    awaitWhile(
        () -> underWay.containsKey(step),
        "not all ranks made the same call; ranks of one thread need a group");
  }

  private synchronized void awaitWhile(BooleanSupplier waiting, String complaint) {
    long end = System.nanoTime() + PATIENCE;
    while (waiting.getAsBoolean()) {
      long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
      if (broken != null || left <= 0) {
        throw new Status(
            Status.LAUNCH_TIMEOUT,
            broken == null ? complaint : "the communicator is broken: " + broken);
      }
      try {
        wait(left);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new Status(Status.UNKNOWN, "interrupted");
      }
    }
  }
}
