package io.minigpt4.softgpu.check;

/**
 * Which checks run beside the kernels. Bounds and alignment are always checked.
 *
 * @param initialised reads of memory that nothing wrote
 * @param races accesses of one shared-memory byte by two warps without a barrier between, one of
 *     them a write
 * @param maxFaults faults after which a launch is stopped; each place in the PTX counts once
 * @param timeoutSeconds a block that runs longer is stopped with a fault; 0 for no limit
 */
public record Checks(boolean initialised, boolean races, int maxFaults, int timeoutSeconds) {
  /** Everything on, up to 16 faults a launch, a minute a block. */
  public static final Checks ALL = new Checks(true, true, 16, 60);

  /** Only bounds, alignment and the time limit. */
  public static final Checks FEW = new Checks(false, false, 16, 60);
}
