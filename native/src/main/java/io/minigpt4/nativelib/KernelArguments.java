package io.minigpt4.nativelib;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The arguments of a kernel, as {@code cuLaunchKernel} wants them: an array of pointers to the
 * values. Made once and filled again for every launch, so that a launch allocates nothing.
 */
public final class KernelArguments {
  private final MemorySegment values;
  private final MemorySegment pointers;
  private final int count;

  /**
   * @param arena owns the memory
   * @param count number of the kernel's parameters
   */
  public KernelArguments(Arena arena, int count) {
    this.count = count;
    values = arena.allocate(ValueLayout.JAVA_LONG, count);
    pointers = arena.allocate(ValueLayout.JAVA_LONG, count);
    for (int i = 0; i < count; i++) {
      pointers.setAtIndex(ValueLayout.JAVA_LONG, i, values.address() + 8L * i);
    }
  }

  /** Number of parameters. */
  public int count() {
    return count;
  }

  /** Sets parameter {@code i} to a 64-bit number or an address. */
  public KernelArguments set(int i, long value) {
    values.setAtIndex(ValueLayout.JAVA_LONG, i, value);
    return this;
  }

  /** Sets parameter {@code i} to a 32-bit number. */
  public KernelArguments set(int i, int value) {
    values.set(ValueLayout.JAVA_INT, 8L * i, value);
    return this;
  }

  /** Sets parameter {@code i} to a float32. */
  public KernelArguments set(int i, float value) {
    values.set(ValueLayout.JAVA_FLOAT, 8L * i, value);
    return this;
  }

  long address() {
    return pointers.address();
  }
}
