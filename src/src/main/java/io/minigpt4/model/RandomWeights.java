package io.minigpt4.model;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Makes weights for benchmarks and tests at the speed of copying memory: a block of normal numbers
 * is drawn once, and every tensor is that block over and over, from a random place on.
 */
final class RandomWeights {
  private static final int BLOCK = 1 << 18;
  private static final double DEVIATION = 0.02;

  private final DType dtype;
  private final Ops ops;
  private final SplittableRandom random;
  private final MemorySegment block;

  /**
   * @param dtype F32, F16 or BF16
   */
  RandomWeights(DType dtype, long seed, Ops ops) {
    this.dtype = dtype;
    this.ops = ops;
    this.random = new SplittableRandom(seed);
    float[] values = new float[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
      values[i] = (float) (DEVIATION * random.nextGaussian());
    }
    block = encoded(values);
  }

  /** Normal with deviation 0.02. */
  Tensor normal(long... shape) {
    long bytes = Tensor.elements(shape) * dtype.bytes();
    MemorySegment memory = Arena.ofAuto().allocate(bytes, 64);
    long from = (long) random.nextInt(BLOCK) * dtype.bytes();
    for (long to = 0; to < bytes; ) {
      long part = Math.min(bytes - to, block.byteSize() - from);
      MemorySegment.copy(block, from, memory, to, part);
      to += part;
      from = 0;
    }
    return ops.load(Tensor.of(dtype, memory, shape));
  }

  /** All ones, as a norm's weight starts. */
  Tensor ones(long width) {
    return constant(1, width);
  }

  /** All zeros, as a bias starts. */
  Tensor zeros(long width) {
    return constant(0, width);
  }

  private Tensor constant(float value, long width) {
    float[] values = new float[Math.toIntExact(width)];
    Arrays.fill(values, value);
    return ops.load(Tensor.of(dtype, encoded(values), width));
  }

  private MemorySegment encoded(float[] values) {
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
