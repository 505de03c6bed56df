package io.minigpt4.model;

import io.minigpt4.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/**
 * Normal numbers of deviation 0.02 at the speed of copying memory: a block of them is drawn once
 * and repeats for ever.
 */
final class NormalNumbers {
  /** Numbers after which they repeat. */
  static final int PERIOD = 1 << 18;

  private static final double DEVIATION = 0.02;

  private final DType dtype;
  private final MemorySegment block;

  /**
   * @param dtype F32, F16 or BF16
   * @param random draws them
   */
  NormalNumbers(DType dtype, SplittableRandom random) {
    this.dtype = dtype;
    float[] values = new float[PERIOD];
    for (int i = 0; i < PERIOD; i++) {
      values[i] = (float) (DEVIATION * random.nextGaussian());
    }
    block = encoded(dtype, values);
  }

  /**
   * Fills memory with the numbers from a place on.
   *
   * @param from any place, from 0 on
   * @param memory room for whole numbers
   */
  void fill(long from, MemorySegment memory) {
    long bytes = memory.byteSize();
    long at = from % PERIOD * dtype.bytes();
    for (long to = 0; to < bytes; ) {
      long part = Math.min(bytes - to, block.byteSize() - at);
      MemorySegment.copy(block, at, memory, to, part);
      to += part;
      at = 0;
    }
  }

  /** Numbers as they lie in memory. */
  static MemorySegment encoded(DType dtype, float[] values) {
    MemorySegment memory = Arena.ofAuto().allocate((long) values.length * dtype.bytes(), 64);
    for (int i = 0; i < values.length; i++) {
      switch (dtype) {
        case F32 -> memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, values[i]);
        case F16 -> memory.setAtIndex(ValueLayout.JAVA_SHORT, i, Float.floatToFloat16(values[i]));
        case BF16 ->
            memory.setAtIndex(
                ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(values[i]) >>> 16));
        default -> throw new IllegalArgumentException("weights cannot be " + dtype);
      }
    }
    return memory;
  }
}
