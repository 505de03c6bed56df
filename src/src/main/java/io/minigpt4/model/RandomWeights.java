package io.minigpt4.model;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.LargeMemory;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.SplittableRandom;

/** Makes weights on a device for benchmarks and tests, each from a random place in the numbers. */
final class RandomWeights {
  private static final double DEVIATION = 0.02;

  /** The largest magnitude that Q8 reaches, in deviations, and a step of Q4. */
  private static final double Q8_RANGE = 4;

  private static final double Q4_STEP = 0.4;

  private final DType matrixType;
  private final DType dtype;
  private final Ops ops;
  private final SplittableRandom random;
  private final NormalNumbers numbers;
  private final MemorySegment integers;

  /**
   * @param type F32, F16 or BF16; with Q8 or Q4, matrices are of that type and the rest is F16
   */
  RandomWeights(DType type, long seed, Ops ops) {
    this.matrixType = type;
    this.dtype = type.isQuantised() ? DType.F16 : type;
    this.ops = ops;
    this.random = new SplittableRandom(seed);
    this.numbers = new NormalNumbers(dtype, random);
    this.integers = type.isQuantised() ? integers() : MemorySegment.NULL;
  }

  /** As many bytes of {@link #matrixType} as the numbers have a period. */
  private MemorySegment integers() {
    MemorySegment memory = Arena.ofAuto().allocate(NormalNumbers.PERIOD, 64);
    for (int i = 0; i < NormalNumbers.PERIOD; i++) {
      int value =
          matrixType == DType.Q8
              ? (int) Math.round(Math.clamp(random.nextGaussian() / Q8_RANGE, -1, 1) * 127)
              : nibble() << 4 | nibble();
      memory.set(ValueLayout.JAVA_BYTE, i, (byte) value);
    }
    return memory;
  }

  private int nibble() {
    long steps = Math.round(random.nextGaussian() / Q4_STEP);
    return (int) Math.clamp(steps, -8L, 7L) + Quantised.ZERO;
  }

  /** Normal with deviation 0.02. */
  Tensor normal(long... shape) {
    MemorySegment memory = LargeMemory.automatic(Tensor.elements(shape) * dtype.bytes());
    numbers.fill(random.nextInt(NormalNumbers.PERIOD), memory);
    return ops.load(Tensor.of(dtype, memory, shape));
  }

  /** A linear layer's weight, normal with deviation 0.02. */
  Tensor matrix(long rows, long width) {
    if (!matrixType.isQuantised()) {
      return normal(rows, width);
    }
    int group = Quantiser.DEFAULT_GROUP;
    long bytes = rows * Quantised.rowBytes(matrixType, width, group);
    MemorySegment elements = LargeMemory.automatic(bytes);
    long at = random.nextInt(NormalNumbers.PERIOD);
    for (long to = 0; to < bytes; ) {
      long part = Math.min(bytes - to, integers.byteSize() - at);
      MemorySegment.copy(integers, at, elements, to, part);
      to += part;
      at = 0;
    }
    MemorySegment scales = scales(rows * Quantised.rowScales(matrixType, width, group));
    return ops.load(Quantised.matrix(matrixType, elements, scales, group, rows, width));
  }

  private MemorySegment scales(long count) {
    DType type = Quantised.scaleType(matrixType);
    double step = DEVIATION * (matrixType == DType.Q8 ? Q8_RANGE / 127 : Q4_STEP);
    float[] values = new float[Math.toIntExact(count)];
    Arrays.fill(values, (float) step);
    return NormalNumbers.encoded(type, values);
  }

  /** A language model's head, normal with deviation 0.02: Q8 where matrices are quantised. */
  Tensor head(long rows, long width) {
    return matrixType == DType.Q4
        ? new RandomWeights(DType.Q8, random.nextLong(), ops).matrix(rows, width)
        : matrix(rows, width);
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
    return ops.load(Tensor.of(dtype, NormalNumbers.encoded(dtype, values), width));
  }
}
