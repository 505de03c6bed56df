package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Fault;

/** {@code bar.sync}, {@code barrier.sync} and their reductions: threads of the block meet. */
public final class BarrierNode extends Node {
  private final boolean aligned;
  private final Src id;
  private final Src count;
  private final String reduction;
  private final int dst;
  private final Src predicate;
  private final boolean negated;

  /**
   * @param aligned whether all lanes of a warp must come to the same instruction
   * @param count threads to wait for; a constant 0 for all threads of the block
   * @param reduction {@code popc}, {@code and}, {@code or}, or empty
   * @param dst slot of the reduction's result
   */
  public BarrierNode(
      int site,
      boolean aligned,
      Src id,
      Src count,
      String reduction,
      int dst,
      Src predicate,
      boolean negated) {
    super(site);
    this.aligned = aligned;
    this.id = id;
    this.count = count;
    this.reduction = reduction;
    this.dst = dst;
    this.predicate = predicate;
    this.negated = negated;
  }

  @Override
  boolean isBarrier() {
    return true;
  }

  @Override
  int readyLanes(Warp w, int group) {
    return 0;
  }

  @Override
  void execute(Warp w, int mask) {
    throw new IllegalStateException("barriers are released by the block");
  }

  /** Lanes of the warp that wait at barrier {@code id}. */
  static int waiting(Warp w, int id) {
    int mask = 0;
    for (int m = w.alive; m != 0; m &= m - 1) {
      int lane = Integer.numberOfTrailingZeros(m);
      Node n = w.cta.launch.kernel.nodes().get(w.pc[lane]);
      mask |= n instanceof BarrierNode b && (b.id.get(w, lane) & 15) == id ? 1 << lane : 0;
    }
    return mask;
  }

  int expected(Warp w, int lane, int all) {
    int n = count.get(w, lane);
    return n == 0 ? all : n;
  }

  /** Number of true predicates, and of threads, over all threads at the barrier. */
  static int[] reduce(Cta cta, int id) {
    int yes = 0;
    int threads = 0;
    for (Warp w : cta.warps) {
      for (int m = waiting(w, id); m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        BarrierNode b = (BarrierNode) cta.launch.kernel.nodes().get(w.pc[lane]);
        threads++;
        yes += (b.predicate.get(w, lane) != 0) != b.negated ? 1 : 0;
      }
    }
    return new int[] {yes, threads};
  }

  /** Writes the reduction's result and checks that the warp came as one. */
  void finish(Warp w, int mask, int[] reduced) {
    if (aligned && mask != w.alive) {
      int missing = w.alive & ~mask;
      int lane = Integer.numberOfTrailingZeros(missing);
      Kernel.Site other =
          w.cta.launch.kernel.sites().get(w.cta.launch.kernel.nodes().get(w.pc[lane]).site());
      w.fault(
          Fault.Kind.DIVERGENT,
          Integer.numberOfTrailingZeros(mask),
          site(),
          "lanes %08x of warp %d are at this barrier, but lanes %08x at line %d (%s)"
              .formatted(mask, w.index, missing, other.line(), other.opcode()));
    }
    if (reduction.isEmpty()) {
      return;
    }
    int value =
        switch (reduction) {
          case "popc" -> reduced[0];
          case "and" -> reduced[0] == reduced[1] ? 1 : 0;
          default -> reduced[0] > 0 ? 1 : 0;
        };
    for (int m = mask; m != 0; m &= m - 1) {
      w.r[dst * Warp.LANES + Integer.numberOfTrailingZeros(m)] = value;
    }
  }

  /** {@code bar.arrive}: counts, and goes on. */
  public static final class Arrive extends Node {
    private final Src id;

    public Arrive(int site, Src id) {
      super(site);
      this.id = id;
    }

    @Override
    int readyLanes(Warp w, int group) {
      return group;
    }

    @Override
    void execute(Warp w, int mask) {
      int lane = Integer.numberOfTrailingZeros(mask);
      w.cta.arrive(id.get(w, lane), Integer.bitCount(mask));
    }
  }
}
