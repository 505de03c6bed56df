package io.minigpt4.softgpu.run;

/** A place in a kernel where lanes of a warp meet. */
public abstract class Node {
  private final int site;

  Node(int site) {
    this.site = site;
  }

  /** Index of the instruction in {@link Kernel#sites}. */
  final int site() {
    return site;
  }

  /** Whether only the block can let lanes go on. */
  boolean isBarrier() {
    return false;
  }

  /** Whether it is better to let other lanes come here first. */
  boolean isPatient() {
    return false;
  }

  /**
   * Finds lanes that need not wait any longer.
   *
   * @param group all lanes that wait here
   * @return those that can go on together now
   */
  abstract int readyLanes(Warp w, int group);

  final boolean ready(Warp w, int group) {
    return readyLanes(w, group) == group;
  }

  /** Does what the instruction does for these lanes. */
  abstract void execute(Warp w, int mask);

  /** Where a node's operand comes from: a slot of 32 bits, or a constant where slot is negative. */
  public record Src(int slot, int constant) {
    int get(Warp w, int lane) {
      return slot < 0 ? constant : w.r[slot * Warp.LANES + lane];
    }
  }

  /** No instruction: a place where code is cut in two. Node 0, the kernel's start, is one. */
  public static final class Cut extends Node {
    public Cut(int site) {
      super(site);
    }

    @Override
    int readyLanes(Warp w, int group) {
      return group;
    }

    @Override
    void execute(Warp w, int mask) {}
  }

  /** An instruction that all lanes of a member mask execute together. */
  abstract static class Masked extends Node {
    private final Src members;

    Masked(int site, Src members) {
      super(site);
      this.members = members;
    }

    @Override
    final int readyLanes(Warp w, int group) {
      if (members.slot() < 0 && group == w.alive && (members.constant() & group) == group) {
        return group;
      }
      int left = group;
      while (left != 0) {
        int lane = Integer.numberOfTrailingZeros(left);
        int mask = members.get(w, lane);
        int present = mask & w.alive;
        int same = 0;
        for (int m = left; m != 0; m &= m - 1) {
          int l = Integer.numberOfTrailingZeros(m);
          same |= members.get(w, l) == mask ? 1 << l : 0;
        }
        left &= ~same;
        if ((mask >>> lane & 1) == 0) {
          w.fault(
              io.minigpt4.softgpu.check.Fault.Kind.DIVERGENT,
              lane,
              site(),
              "lane %d is not in its own member mask %08x".formatted(lane, mask));
          return same;
        }
        if ((present & ~same) == 0) {
          return same;
        }
      }
      return 0;
    }
  }

  /** An instruction that needs the whole warp. */
  abstract static class WholeWarp extends Node {
    WholeWarp(int site) {
      super(site);
    }

    @Override
    final int readyLanes(Warp w, int group) {
      return group == w.alive ? group : 0;
    }

    @Override
    final void execute(Warp w, int mask) {
      if (mask != -1) {
        w.fault(
            io.minigpt4.softgpu.check.Fault.Kind.DIVERGENT,
            Integer.numberOfTrailingZeros(mask),
            site(),
            "needs all 32 lanes, only %08x are there".formatted(mask));
        return;
      }
      executeAll(w);
    }

    abstract void executeAll(Warp w);
  }
}
