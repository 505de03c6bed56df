package io.minigpt4.bench;

import static jdk.incubator.vector.VectorOperators.ADD;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * What the machine can do at this moment: float32 fused multiply-adds from registers, and reading
 * memory that no cache holds. Other work on the machine shows in both, so that a share of them says
 * more than an absolute figure.
 */
final class Probes {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;
  private static final int CHAINS = 12;
  private static final int FMA_STEPS = 2_000_000;

  /** A limit is the best that was seen: what else runs can only take away from it. */
  private static final int TRIES = 3;

  /** Short calls, so that the loops are compiled as whole methods before anything is timed. */
  private static final int WARM_UP_CALLS = 30_000;

  private static final int WARM_UP_STEPS = 100;

  /** More than any cache of today holds. */
  private static final long BYTES = 640L << 20;

  private final int threads;
  private final Clock clock;
  private long memory;
  private volatile float sink;

  Probes(int threads, Clock clock) {
    this.threads = threads;
    this.clock = clock;
    try (Arena arena = Arena.ofConfined()) {
      long bytes = 64L * N * Float.BYTES;
      long address = arena.allocate(bytes, 64).address();
      for (int i = 0; i < WARM_UP_CALLS; i++) {
        sink = chains(WARM_UP_STEPS);
        sink = sum(address, bytes);
      }
    }
  }

  private double best(Part part) {
    double seconds = Double.MAX_VALUE;
    for (int i = 0; i < TRIES; i++) {
      seconds = Math.min(seconds, clock.seconds(() -> onAll(part)));
    }
    return seconds;
  }

  /** GFLOP/s of all threads together. */
  double fmaPeak() {
    double seconds = best(i -> sink = chains(FMA_STEPS));
    return 2e-9 * CHAINS * N * FMA_STEPS * threads / seconds;
  }

  /** GB/s read by all threads together. */
  double readBandwidth() {
    if (memory == 0) {
      MemorySegment segment = Arena.global().allocate(BYTES, 64);
      segment.fill((byte) 1);
      memory = segment.address();
    }
    long each = BYTES / threads / 4096 * 4096;
    double seconds = best(i -> sink = sum(memory + i * each, each));
    return 1e-9 * each * threads / seconds;
  }

  private interface Part {
    void run(int thread);
  }

  private void onAll(Part part) {
    Thread[] others = new Thread[threads - 1];
    for (int i = 0; i < others.length; i++) {
      int number = i + 1;
      others[i] = new Thread(() -> part.run(number));
      others[i].start();
    }
    part.run(0);
    for (Thread other : others) {
      try {
        other.join();
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** Twelve independent chains: enough to fill two units of four cycles' latency. */
  private static float chains(int steps) {
    FloatVector b = FloatVector.broadcast(SPECIES, 0.9999f);
    FloatVector c = FloatVector.broadcast(SPECIES, 0.0001f);
    FloatVector a0 = b;
    FloatVector a1 = b;
    FloatVector a2 = b;
    FloatVector a3 = b;
    FloatVector a4 = b;
    FloatVector a5 = b;
    FloatVector a6 = b;
    FloatVector a7 = b;
    FloatVector a8 = b;
    FloatVector a9 = b;
    FloatVector a10 = b;
    FloatVector a11 = b;
    for (int i = 0; i < steps; i++) {
      a0 = a0.fma(b, c);
      a1 = a1.fma(b, c);
      a2 = a2.fma(b, c);
      a3 = a3.fma(b, c);
      a4 = a4.fma(b, c);
      a5 = a5.fma(b, c);
      a6 = a6.fma(b, c);
      a7 = a7.fma(b, c);
      a8 = a8.fma(b, c);
      a9 = a9.fma(b, c);
      a10 = a10.fma(b, c);
      a11 = a11.fma(b, c);
    }
    FloatVector low = a0.add(a1).add(a2).add(a3).add(a4).add(a5);
    FloatVector high = a6.add(a7).add(a8).add(a9).add(a10).add(a11);
    return low.add(high).reduceLanes(ADD);
  }

  /** Reads four streams, which is faster than one. */
  private static float sum(long from, long bytes) {
    long quarter = bytes / 4;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = a;
    FloatVector c = a;
    FloatVector d = a;
    for (long i = from; i < from + quarter; i += 4L * N) {
      a = a.add(load(i));
      b = b.add(load(i + quarter));
      c = c.add(load(i + 2 * quarter));
      d = d.add(load(i + 3 * quarter));
    }
    return a.add(b).add(c.add(d)).reduceLanes(ADD);
  }

  private static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(SPECIES, ALL, address, ORDER);
  }
}
