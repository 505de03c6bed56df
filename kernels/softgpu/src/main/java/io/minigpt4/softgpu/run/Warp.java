package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Fault;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * 32 threads. A thread runs alone from one node (a place where lanes wait for each other) to the
 * next; its registers live in JVM locals meanwhile, and in {@link #r} and {@link #d} at nodes.
 */
public final class Warp {
  /** Threads in a warp. */
  public static final int LANES = 32;

  /** Instructions between two looks at the clock. */
  public static final int POLL = 1 << 24;

  /** Slots of 32 bits: index slot * 32 + lane. Smaller registers lie there too. */
  public final int[] r;

  /** Slots of 64 bits: index slot * 32 + lane. */
  public final long[] d;

  /** The node where each lane waits; {@link Code#EXIT} for lanes that have ended. */
  public final int[] pc = new int[LANES];

  final Cta cta;
  final int index;
  final int[] tidX = new int[LANES];
  final int[] tidY = new int[LANES];
  final int[] tidZ = new int[LANES];
  final long tag;
  final AsyncCopies async;
  int alive;
  long instructions;
  private long nextPoll = POLL;

  Warp(Cta cta, int index) {
    Launch l = cta.launch;
    this.cta = cta;
    this.index = index;
    this.r = new int[l.kernel.registers32() * LANES];
    this.d = new long[l.kernel.registers64() * LANES];
    this.tag = (index + 1) * 0x0101010101010101L;
    this.async = new AsyncCopies(this);
    int threads = l.blockX * l.blockY * l.blockZ;
    for (int lane = 0; lane < LANES; lane++) {
      int t = index * LANES + lane;
      tidX[lane] = t % l.blockX;
      tidY[lane] = t / l.blockX % l.blockY;
      tidZ[lane] = t / l.blockX / l.blockY;
      pc[lane] = t < threads ? 0 : Code.EXIT;
    }
  }

  /** Puts all threads back to the kernel's start. */
  void reset() {
    Launch l = cta.launch;
    int threads = Math.min(LANES, l.blockX * l.blockY * l.blockZ - index * LANES);
    alive = threads == LANES ? -1 : (1 << threads) - 1;
    for (int lane = 0; lane < threads; lane++) {
      pc[lane] = 0;
    }
    Arrays.fill(r, 0);
    Arrays.fill(d, 0);
    async.clear();
    nextPoll = POLL;
  }

  /** Lanes that wait at this node. */
  int at(int node) {
    int m = 0;
    for (int lane = 0; lane < LANES; lane++) {
      m |= pc[lane] == node ? 1 << lane : 0;
    }
    return m;
  }

  /** Runs until every thread has ended or waits at a barrier of the block. */
  void run() {
    List<Node> nodes = cta.launch.kernel.nodes();
    int node = uniformNode();
    while (alive != 0) {
      if (cta.launch.isStopped()) {
        throw new StopException();
      }
      if (node >= 0) {
        Node n = nodes.get(node);
        if (n.isBarrier()) {
          return;
        }
        if (n.ready(this, alive)) {
          n.execute(this, alive);
          node = advance(node, alive);
          continue;
        }
      }
      if (!runOneGroup(nodes)) {
        return;
      }
      node = uniformNode();
    }
  }

  private int uniformNode() {
    int node = Code.MIXED;
    for (int m = alive; m != 0; m &= m - 1) {
      int p = pc[Integer.numberOfTrailingZeros(m)];
      if (node == Code.MIXED) {
        node = p;
      } else if (node != p) {
        return Code.MIXED;
      }
    }
    return node;
  }

  /** Runs the code behind a node for these lanes and notes which of them ended. */
  int advance(int node, int mask) {
    int result = cta.launch.kernel.code().get(node / Kernel.NODES_PER_CLASS).run(node, this, mask);
    if (result == Code.EXIT) {
      alive &= ~mask;
    } else if (result == Code.MIXED) {
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        alive &= pc[lane] == Code.EXIT ? ~(1 << lane) : -1;
      }
    }
    return mask == alive ? result : Code.MIXED;
  }

  /** Of the lanes that wait at different nodes, lets one group go on that can. */
  private boolean runOneGroup(List<Node> nodes) {
    int best = Code.MIXED;
    int bestMask = 0;
    for (int m = alive; m != 0; ) {
      int node = pc[Integer.numberOfTrailingZeros(m)];
      int group = at(node) & alive;
      m &= ~group;
      Node n = nodes.get(node);
      int ready = n.isBarrier() ? 0 : n.readyLanes(this, group);
      if (ready != 0
          && (best < 0 || nodes.get(best).isPatient() || (node < best && !n.isPatient()))) {
        best = node;
        bestMask = ready;
      }
    }
    if (best < 0) {
      return false;
    }
    nodes.get(best).execute(this, bestMask);
    advance(best, bestMask);
    return true;
  }

  /**
   * Called by generated code now and then in loops.
   *
   * @param count instructions since the last call
   * @return 0, the new count
   */
  public int poll(int count) {
    instructions += count;
    cta.checkTime(this);
    return 0;
  }

  /** Adds instructions that generated code has run. */
  public void ran(int count) {
    instructions += count;
    if (instructions > nextPoll) {
      nextPoll = instructions + POLL;
      cta.checkTime(this);
    }
  }

  Fault.Index thread(int lane) {
    return new Fault.Index(tidX[lane], tidY[lane], tidZ[lane]);
  }

  void fault(Fault.Kind kind, int lane, int site, String detail) {
    Launch l = cta.launch;
    Kernel.@Nullable Site s = site < 0 ? null : l.kernel.sites().get(site);
    l.report(
        new Fault(
            kind,
            l.kernel.name(),
            s == null ? 0 : s.line(),
            s == null ? "-" : s.opcode(),
            cta.blockIndex(),
            thread(lane),
            detail),
        site);
    if (l.isStopped()) {
      throw new StopException();
    }
  }
}
