package io.minigpt4.cpu;

import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** What must hold before raw addresses are used. */
final class Checks {
  private Checks() {}

  /**
   * The address of memory that can be read now.
   *
   * @throws IllegalStateException if its arena has been closed
   */
  static long address(Tensor tensor) {
    MemorySegment segment = tensor.segment();
    if (!segment.scope().isAlive()) {
      throw new IllegalStateException("the memory of " + tensor + " has been released");
    }
    if (!segment.isNative()) {
      throw new IllegalArgumentException(tensor + " is on the Java heap; load it first");
    }
    return segment.address();
  }
}
