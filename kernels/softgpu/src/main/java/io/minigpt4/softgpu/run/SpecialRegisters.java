package io.minigpt4.softgpu.run;

/** Special registers, {@code %tid.x} as {@code tid_x} and so on. */
@SuppressWarnings("MethodName")
public final class SpecialRegisters {
  private SpecialRegisters() {}

  public static int tid_x(Warp w, int lane) {
    return w.tidX[lane];
  }

  public static int tid_y(Warp w, int lane) {
    return w.tidY[lane];
  }

  public static int tid_z(Warp w, int lane) {
    return w.tidZ[lane];
  }

  public static int ntid_x(Warp w, int lane) {
    return w.cta.launch.blockX;
  }

  public static int ntid_y(Warp w, int lane) {
    return w.cta.launch.blockY;
  }

  public static int ntid_z(Warp w, int lane) {
    return w.cta.launch.blockZ;
  }

  public static int ctaid_x(Warp w, int lane) {
    return w.cta.blockX;
  }

  public static int ctaid_y(Warp w, int lane) {
    return w.cta.blockY;
  }

  public static int ctaid_z(Warp w, int lane) {
    return w.cta.blockZ;
  }

  public static int nctaid_x(Warp w, int lane) {
    return w.cta.launch.gridX;
  }

  public static int nctaid_y(Warp w, int lane) {
    return w.cta.launch.gridY;
  }

  public static int nctaid_z(Warp w, int lane) {
    return w.cta.launch.gridZ;
  }

  public static int laneid(Warp w, int lane) {
    return lane;
  }

  public static int warpid(Warp w, int lane) {
    return w.index;
  }

  public static int nwarpid(Warp w, int lane) {
    return w.cta.warps.length;
  }

  public static int smid(Warp w, int lane) {
    return 0;
  }

  public static int nsmid(Warp w, int lane) {
    return 1;
  }

  public static int lanemask_eq(Warp w, int lane) {
    return 1 << lane;
  }

  public static int lanemask_lt(Warp w, int lane) {
    return (1 << lane) - 1;
  }

  public static int lanemask_le(Warp w, int lane) {
    return (1 << lane) | ((1 << lane) - 1);
  }

  public static int lanemask_gt(Warp w, int lane) {
    return ~lanemask_le(w, lane);
  }

  public static int lanemask_ge(Warp w, int lane) {
    return ~lanemask_lt(w, lane);
  }

  /** Nanoseconds stand for cycles. */
  public static int clock(Warp w, int lane) {
    return (int) System.nanoTime();
  }

  public static long clock64(Warp w, int lane) {
    return System.nanoTime();
  }

  public static long globaltimer(Warp w, int lane) {
    return System.currentTimeMillis() * 1_000_000L + System.nanoTime() % 1_000_000L;
  }

  public static int dynamic_smem_size(Warp w, int lane) {
    return w.cta.launch.dynamicShared;
  }

  public static int total_smem_size(Warp w, int lane) {
    return w.cta.shared.size;
  }

  /** {@code trap}: the launch fails here. */
  public static void trap(Warp w, int lane, int site) {
    w.fault(io.minigpt4.softgpu.check.Fault.Kind.TRAP, lane, site, "the kernel stopped itself");
    w.cta.launch.stop();
    throw new StopException();
  }

  /** A failed {@code assert} of CUDA C++. */
  public static void assertFailed(Warp w, int lane, int site) {
    w.fault(
        io.minigpt4.softgpu.check.Fault.Kind.ASSERTION, lane, site, "assert() in the CUDA source");
    w.cta.launch.stop();
    throw new StopException();
  }
}
