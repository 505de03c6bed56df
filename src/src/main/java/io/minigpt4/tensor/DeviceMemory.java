package io.minigpt4.tensor;

/**
 * The memory of a device that has its own, in bytes.
 *
 * @param free what can be allocated
 * @param total what there is
 * @param beside what the work beside a model's weights takes at the least
 */
public record DeviceMemory(long free, long total, long beside) {
  /** What weights may take. */
  public long forWeights() {
    return Math.max(0, free - beside);
  }
}
