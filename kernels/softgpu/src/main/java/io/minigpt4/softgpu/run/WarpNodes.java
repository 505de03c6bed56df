package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.run.Node.Masked;
import io.minigpt4.softgpu.run.Node.Src;

/** Shuffles, votes, matches and reductions of a warp (PTX ISA, warp-level primitives). */
public final class WarpNodes {
  private static final int LANES = Warp.LANES;

  /** What a shuffle gives where the source lane does not take part: as a float, a NaN. */
  private static final int UNDEFINED = 0xFFFFDEAD;

  private WarpNodes() {}

  private static void put(Warp w, int slot, int lane, int value) {
    if (slot >= 0) {
      w.r[slot * LANES + lane] = value;
    }
  }

  /** {@code bar.warp.sync}. */
  public static final class Sync extends Masked {
    public Sync(int site, Src members) {
      super(site, members);
    }

    @Override
    void execute(Warp w, int mask) {}
  }

  /** {@code activemask}: the lanes that happen to be together. */
  public static final class ActiveMask extends Node {
    private final int dst;

    public ActiveMask(int site, int dst) {
      super(site);
      this.dst = dst;
    }

    @Override
    boolean isPatient() {
      return true;
    }

    @Override
    int readyLanes(Warp w, int group) {
      return group;
    }

    @Override
    void execute(Warp w, int mask) {
      for (int m = mask; m != 0; m &= m - 1) {
        put(w, dst, Integer.numberOfTrailingZeros(m), mask);
      }
    }
  }

  /** {@code shfl.sync}. */
  public static final class Shuffle extends Masked {
    private final String mode;
    private final int dst;
    private final int inRange;
    private final Src value;
    private final Src b;
    private final Src c;

    public Shuffle(
        int site, String mode, int dst, int inRange, Src value, Src b, Src c, Src members) {
      super(site, members);
      this.mode = mode;
      this.dst = dst;
      this.inRange = inRange;
      this.value = value;
      this.b = b;
      this.c = c;
    }

    @Override
    void execute(Warp w, int mask) {
      int[] out = new int[LANES];
      int ok = 0;
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        int by = b.get(w, lane) & 31;
        int cc = c.get(w, lane);
        int segment = cc >>> 8 & 31;
        int max = (lane & segment) | (cc & 31 & ~segment);
        int min = lane & segment;
        int from;
        boolean inside;
        switch (mode) {
          case "up" -> {
            from = lane - by;
            inside = from >= max;
          }
          case "down" -> {
            from = lane + by;
            inside = from <= max;
          }
          case "bfly" -> {
            from = lane ^ by;
            inside = from <= max;
          }
          default -> {
            from = min | (by & ~segment);
            inside = from <= max;
          }
        }
        from = inside ? from : lane;
        ok |= inside ? 1 << lane : 0;
        out[lane] = (mask >>> from & 1) != 0 ? value.get(w, from) : UNDEFINED;
      }
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        put(w, dst, lane, out[lane]);
        put(w, inRange, lane, ok >>> lane & 1);
      }
    }
  }

  /** {@code vote.sync}. */
  public static final class Vote extends Masked {
    private final String mode;
    private final int dst;
    private final Src predicate;
    private final boolean negated;

    public Vote(int site, String mode, int dst, Src predicate, boolean negated, Src members) {
      super(site, members);
      this.mode = mode;
      this.dst = dst;
      this.predicate = predicate;
      this.negated = negated;
    }

    @Override
    void execute(Warp w, int mask) {
      int votes = 0;
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        votes |= ((predicate.get(w, lane) != 0) != negated) ? 1 << lane : 0;
      }
      int result =
          switch (mode) {
            case "all" -> votes == mask ? 1 : 0;
            case "any" -> votes != 0 ? 1 : 0;
            case "uni" -> votes == mask || votes == 0 ? 1 : 0;
            default -> votes;
          };
      for (int m = mask; m != 0; m &= m - 1) {
        put(w, dst, Integer.numberOfTrailingZeros(m), result);
      }
    }
  }

  /** {@code match.sync} on 32 or 64 bits. */
  public static final class Match extends Masked {
    private final boolean all;
    private final int dst;
    private final int same;
    private final Src value;
    private final int slot64;

    /**
     * @param slot64 slot of a 64-bit operand, or -1 to take {@code value}
     */
    public Match(int site, boolean all, int dst, int same, Src value, int slot64, Src members) {
      super(site, members);
      this.all = all;
      this.dst = dst;
      this.same = same;
      this.value = value;
      this.slot64 = slot64;
    }

    private long value(Warp w, int lane) {
      return slot64 >= 0 ? w.d[slot64 * LANES + lane] : value.get(w, lane);
    }

    @Override
    void execute(Warp w, int mask) {
      int[] out = new int[LANES];
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        for (int k = mask; k != 0; k &= k - 1) {
          int other = Integer.numberOfTrailingZeros(k);
          out[lane] |= value(w, lane) == value(w, other) ? 1 << other : 0;
        }
      }
      for (int m = mask; m != 0; m &= m - 1) {
        int lane = Integer.numberOfTrailingZeros(m);
        boolean whole = out[lane] == mask;
        put(w, dst, lane, !all || whole ? out[lane] : 0);
        put(w, same, lane, whole ? 1 : 0);
      }
    }
  }

  /** {@code redux.sync}. */
  public static final class Redux extends Masked {
    private final String op;
    private final boolean signed;
    private final int dst;
    private final Src value;

    public Redux(int site, String op, boolean signed, int dst, Src value, Src members) {
      super(site, members);
      this.op = op;
      this.signed = signed;
      this.dst = dst;
      this.value = value;
    }

    @Override
    void execute(Warp w, int mask) {
      int acc = value.get(w, Integer.numberOfTrailingZeros(mask));
      for (int m = mask & (mask - 1); m != 0; m &= m - 1) {
        int v = value.get(w, Integer.numberOfTrailingZeros(m));
        acc =
            switch (op) {
              case "add" -> acc + v;
              case "and" -> acc & v;
              case "or" -> acc | v;
              case "xor" -> acc ^ v;
              case "min" -> less(v, acc) ? v : acc;
              default -> less(acc, v) ? v : acc;
            };
      }
      for (int m = mask; m != 0; m &= m - 1) {
        put(w, dst, Integer.numberOfTrailingZeros(m), acc);
      }
    }

    private boolean less(int a, int b) {
      return signed ? a < b : Integer.compareUnsigned(a, b) < 0;
    }
  }
}
