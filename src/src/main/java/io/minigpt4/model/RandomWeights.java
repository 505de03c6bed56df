package io.minigpt4.model;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.SplittableRandom;

/** Makes weights on a device for benchmarks and tests, each from a random place in the numbers. */
final class RandomWeights {
  private final DType dtype;
  private final Ops ops;
  private final SplittableRandom random;
  private final NormalNumbers numbers;

  /**
   * @param dtype F32, F16 or BF16
   */
  RandomWeights(DType dtype, long seed, Ops ops) {
    this.dtype = dtype;
    this.ops = ops;
    this.random = new SplittableRandom(seed);
    this.numbers = new NormalNumbers(dtype, random);
  }

  /** Normal with deviation 0.02. */
  Tensor normal(long... shape) {
    MemorySegment memory = Arena.ofAuto().allocate(Tensor.elements(shape) * dtype.bytes(), 64);
    numbers.fill(random.nextInt(NormalNumbers.PERIOD), memory);
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
    return ops.load(Tensor.of(dtype, NormalNumbers.encoded(dtype, values), width));
  }
}
