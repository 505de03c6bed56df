package io.minigpt4.kernels;

/**
 * What a launch has to do at least, to be compared with what the device can do in the time it took.
 *
 * @param bytes read and written in device memory, each counted once
 * @param flops floating-point operations, a multiplication and an addition counted as two
 */
public record Work(long bytes, long flops) {
  /** Both together. */
  public Work plus(Work other) {
    return new Work(bytes + other.bytes, flops + other.flops);
  }
}
