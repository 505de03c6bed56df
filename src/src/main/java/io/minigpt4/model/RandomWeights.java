package io.minigpt4.model;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Quantised;
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

  /** The largest magnitude that Q8 reaches, in deviations, and a step of Q4. */
  private static final double Q8_RANGE = 4;

  private static final double Q4_STEP = 0.4;

  private final DType matrixType;
  private final DType dtype;
  private final Ops ops;
  private final SplittableRandom random;
  private final MemorySegment block;
  private final MemorySegment integers;

  /**
   * @param type F32, F16 or BF16; with Q8 or Q4, matrices are of that type and the rest is F16
   */
  RandomWeights(DType type, long seed, Ops ops) {
    this.matrixType = type;
    this.dtype = type.isQuantised() ? DType.F16 : type;
    this.ops = ops;
    this.random = new SplittableRandom(seed);
    float[] values = new float[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
      values[i] = (float) (DEVIATION * random.nextGaussian());
    }
    block = encoded(values);
    integers = type.isQuantised() ? integers(values) : MemorySegment.NULL;
  }

  /** The block's numbers as the integers of {@link #matrixType}. */
  private MemorySegment integers(float[] values) {
    MemorySegment memory = Arena.ofAuto().allocate(BLOCK, 64);
    for (int i = 0; i < BLOCK; i++) {
      double deviations = values[i] / DEVIATION;
      int value;
      if (matrixType == DType.Q8) {
        value = (int) Math.round(Math.clamp(deviations / Q8_RANGE, -1, 1) * 127);
      } else {
        double next = values[(i + 1) % BLOCK] / DEVIATION;
        value = nibble(deviations) << 4 | nibble(next);
      }
      memory.set(ValueLayout.JAVA_BYTE, i, (byte) value);
    }
    return memory;
  }

  private static int nibble(double deviations) {
    return (int) Math.clamp(Math.round(deviations / Q4_STEP), -8L, 7L) + Quantised.ZERO;
  }

  /** A language model's head, normal with deviation 0.02: Q8 where matrices are quantised. */
  Tensor head(long rows, long width) {
    return matrixType == DType.Q4
        ? new RandomWeights(DType.Q8, random.nextLong(), ops).matrix(rows, width)
        : matrix(rows, width);
  }

  /** A linear layer's weight, normal with deviation 0.02. */
  Tensor matrix(long rows, long width) {
    if (!matrixType.isQuantised()) {
      return normal(rows, width);
    }
    MemorySegment elements = copies(integers, 1, rows * rowBytes(width));
    long scales = rows * Quantised.rowScales(matrixType, width, Quantiser.DEFAULT_GROUP);
    MemorySegment factors;
    if (matrixType == DType.Q8) {
      factors = Arena.ofAuto().allocate(scales * Float.BYTES, 64);
      for (long i = 0; i < scales; i++) {
        factors.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (DEVIATION * Q8_RANGE / 127));
      }
    } else {
      factors = Arena.ofAuto().allocate(scales * Short.BYTES, 64);
      short scale = (short) (Float.floatToRawIntBits((float) (DEVIATION * Q4_STEP)) >>> 16);
      for (long i = 0; i < scales; i++) {
        factors.setAtIndex(ValueLayout.JAVA_SHORT, i, scale);
      }
    }
    return ops.load(
        Quantised.matrix(matrixType, elements, factors, Quantiser.DEFAULT_GROUP, rows, width));
  }

  private long rowBytes(long width) {
    return Quantised.rowBytes(matrixType, width, Quantiser.DEFAULT_GROUP);
  }

  /** Normal with deviation 0.02. */
  Tensor normal(long... shape) {
    MemorySegment memory = copies(block, dtype.bytes(), Tensor.elements(shape) * dtype.bytes());
    return ops.load(Tensor.of(dtype, memory, shape));
  }

  /** A block over and over, from a random element on. */
  private MemorySegment copies(MemorySegment source, int elementBytes, long bytes) {
    MemorySegment memory = Arena.ofAuto().allocate(bytes, 64);
    long from = (long) random.nextInt(BLOCK) * elementBytes;
    for (long to = 0; to < bytes; ) {
      long part = Math.min(bytes - to, source.byteSize() - from);
      MemorySegment.copy(source, from, memory, to, part);
      to += part;
      from = 0;
    }
    return memory;
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
