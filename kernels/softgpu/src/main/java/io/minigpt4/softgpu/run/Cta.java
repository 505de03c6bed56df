package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Fault;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/** The block that one worker runs at a time: its shared and local memory, warps and barriers. */
public final class Cta implements AutoCloseable {
  private static final int BARRIERS = 16;

  final Launch launch;
  final Warp[] warps;
  final SharedMemory shared;
  final long localBase;
  final long localShadow;
  final long localStride;
  final int localBytes;
  final long scratch;
  final MatrixNodes.Scratch scratchMatrices = new MatrixNodes.Scratch();

  /** Bounds of the allocation that each instruction touched last, and its shadow's distance. */
  final long[] low;

  final long[] high;
  final long[] shadow;
  final boolean[] readOnly;
  final boolean checkInitialised;
  final boolean checkRaces;
  int blockX;
  int blockY;
  int blockZ;
  private final Arena arena = Arena.ofShared();
  private final int[] arrivedWithoutWaiting = new int[BARRIERS];
  private long deadline;

  /** Makes room for one block of the launch. */
  public Cta(Launch launch) {
    this.launch = launch;
    Kernel k = launch.kernel;
    int sites = k.sites().size();
    low = new long[sites];
    high = new long[sites];
    shadow = new long[sites];
    readOnly = new boolean[sites];
    Arrays.fill(low, Long.MAX_VALUE);
    checkInitialised = launch.checks.initialised();
    checkRaces = launch.checks.races();
    int threads = launch.blockX * launch.blockY * launch.blockZ;
    int start = k.sharedBytes();
    if (k.dynamicShared()) {
      start = (start + k.sharedAlign() - 1) / k.sharedAlign() * k.sharedAlign();
    }
    shared = new SharedMemory(arena, start + launch.dynamicShared, this);
    localBytes = k.localBytes();
    localStride = (localBytes + 15L) & -16L;
    int lanes = (threads + 31) / 32 * 32;
    localBase = arena.allocate(localStride * lanes + 16, 16).address();
    localShadow = arena.allocate(localStride * lanes + 16, 16).address();
    scratch = arena.allocate(64, 16).address();
    warps = new Warp[(threads + 31) / 32];
    for (int i = 0; i < warps.length; i++) {
      warps[i] = new Warp(this, i);
    }
  }

  /** Runs block number {@code n} to its end. */
  public void run(long n) {
    blockX = (int) (n % launch.gridX);
    blockY = (int) (n / launch.gridX % launch.gridY);
    blockZ = (int) (n / launch.gridX / launch.gridY);
    int limit = launch.checks.timeoutSeconds();
    deadline = limit == 0 ? Long.MAX_VALUE : System.nanoTime() + TimeUnit.SECONDS.toNanos(limit);
    shared.reset();
    Arrays.fill(arrivedWithoutWaiting, 0);
    Raw.fill(localShadow, localStride * warps.length * Warp.LANES, 0);
    for (Warp w : warps) {
      w.reset();
    }
    try {
      runWarps();
    } catch (StopException e) {
      // The launch already holds the fault that stopped it.
    }
    for (Warp w : warps) {
      launch.addInstructions(w.instructions);
      w.instructions = 0;
    }
  }

  private void runWarps() {
    while (true) {
      int alive = 0;
      for (Warp w : warps) {
        w.run();
        alive |= w.alive;
      }
      if (alive == 0) {
        return;
      }
      if (!releaseBarriers()) {
        reportDeadlock();
        return;
      }
    }
  }

  /** Lets the threads of each full barrier go on. */
  private boolean releaseBarriers() {
    boolean any = false;
    int total = 0;
    for (Warp w : warps) {
      total += Integer.bitCount(w.alive);
    }
    for (int id = 0; id < BARRIERS; id++) {
      int waiting = 0;
      int expected = 0;
      for (Warp w : warps) {
        int m = BarrierNode.waiting(w, id);
        if (m != 0) {
          waiting += Integer.bitCount(m);
          int lane = Integer.numberOfTrailingZeros(m);
          expected = ((BarrierNode) launch.kernel.nodes().get(w.pc[lane])).expected(w, lane, total);
        }
      }
      if (waiting > 0 && waiting + arrivedWithoutWaiting[id] >= expected) {
        arrivedWithoutWaiting[id] = 0;
        release(id);
        any = true;
      }
    }
    return any;
  }

  private void release(int id) {
    shared.barrier();
    int[] reduction = BarrierNode.reduce(this, id);
    int[] masks = new int[warps.length];
    for (Warp w : warps) {
      masks[w.index] = BarrierNode.waiting(w, id);
    }
    for (Warp w : warps) {
      int mask = masks[w.index];
      while (mask != 0) {
        int node = w.pc[Integer.numberOfTrailingZeros(mask)];
        int group = w.at(node) & mask;
        mask &= ~group;
        ((BarrierNode) launch.kernel.nodes().get(node)).finish(w, group, reduction);
        w.advance(node, group);
      }
    }
  }

  /** {@code bar.arrive}: counts lanes that go on at once. */
  void arrive(int id, int lanes) {
    arrivedWithoutWaiting[id & (BARRIERS - 1)] += lanes;
  }

  private void reportDeadlock() {
    StringBuilder text = new StringBuilder();
    Warp first = warps[0];
    int site = -1;
    int lane = 0;
    int groups = 0;
    for (Warp w : warps) {
      for (int m = w.alive; m != 0; ) {
        int l = Integer.numberOfTrailingZeros(m);
        int node = w.pc[l];
        int group = w.at(node) & w.alive;
        m &= ~group;
        if (site < 0) {
          first = w;
          lane = l;
          site = launch.kernel.nodes().get(node).site();
        }
        if (groups++ < 8) {
          Kernel.Site s = launch.kernel.sites().get(launch.kernel.nodes().get(node).site());
          text.append(text.isEmpty() ? "" : "; ")
              .append(
                  "warp %d lanes %08x at line %d (%s)"
                      .formatted(w.index, group, s.line(), s.opcode()));
        }
      }
    }
    text.append(groups > 8 ? "; and others" : "");
    first.fault(Fault.Kind.DEADLOCK, lane, site, "no barrier can complete: " + text);
  }

  void checkTime(Warp w) {
    if (launch.isStopped()) {
      throw new StopException();
    }
    if (System.nanoTime() > deadline) {
      int lane = Integer.numberOfTrailingZeros(w.alive) & 31;
      String limit = launch.checks.timeoutSeconds() + " s in one block: an endless loop?";
      w.fault(Fault.Kind.TIMEOUT, lane, -1, "more than " + limit);
      launch.stop();
      throw new StopException();
    }
  }

  Fault.Index blockIndex() {
    return new Fault.Index(blockX, blockY, blockZ);
  }

  @Override
  public void close() {
    arena.close();
  }
}
