package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Base plus delta in float16, element by element: each is rounded to float16 first, then their sum
 * is, as FastChat's {@code apply_delta} has PyTorch do it. Where the delta has more rows, the base
 * counts as zero.
 */
final class SumTensor extends PlannedTensor {
  private final Checkpoint base;
  private final Checkpoint delta;
  private final long baseElements;
  private final DType baseType;
  private final DType deltaType;
  private @Nullable MemorySegment baseMemory;
  private @Nullable MemorySegment deltaMemory;

  /** A tensor that both have, in the delta's shape. */
  SumTensor(String name, Checkpoint base, Checkpoint delta) {
    super(name, DType.F16, delta.shape(name));
    this.base = base;
    this.delta = delta;
    this.baseElements = Tensor.elements(base.shape(name));
    this.baseType = base.dtype(name);
    this.deltaType = delta.dtype(name);
  }

  @Override
  void verify() {
    base.verify(name());
    delta.verify(name());
  }

  @Override
  void prepare() {
    baseMemory = base.tensor(name()).segment();
    deltaMemory = delta.tensor(name()).segment();
  }

  @Override
  void release() {
    baseMemory = null;
    deltaMemory = null;
  }

  @Override
  MemorySegment stretch(long from, long count, MemorySegment scratch) {
    Elements elements = new Elements();
    float[] left = new float[Elements.BLOCK];
    float[] right = new float[Elements.BLOCK];
    for (long at = 0; at < count; at += Elements.BLOCK) {
      int n = (int) Math.min(Elements.BLOCK, count - at);
      summands(elements, from + at, n, left, right);
      for (int i = 0; i < n; i++) {
        left[i] += right[i];
      }
      elements.write(left, n, DType.F16, scratch, at);
    }
    if (elements.overflows() > 0) {
      throw new UserException(
          "base and delta add up to more than float16 holds in '"
              + name()
              + "': do "
              + base.source(name())
              + " and "
              + delta.source(name())
              + " belong together?");
    }
    return scratch;
  }

  /**
   * Of some elements whose delta is not zero, those whose sum is a float16 without rounding. Asked
   * for between {@link #prepare} and {@link #release}.
   *
   * @param n at most {@link Elements#BLOCK}
   * @return {exact, all}
   */
  long[] exactSums(long from, int n) {
    Elements elements = new Elements();
    float[] left = new float[n];
    float[] right = new float[n];
    summands(elements, from, n, left, right);
    long exact = 0;
    long all = 0;
    for (int i = 0; i < n; i++) {
      if (right[i] != 0) {
        double sum = (double) left[i] + right[i];
        all++;
        exact += Float.float16ToFloat(Float.floatToFloat16((float) sum)) == sum ? 1 : 0;
      }
    }
    return new long[] {exact, all};
  }

  /** Elements that both sides have. */
  long sharedElements() {
    return Math.min(baseElements, elements());
  }

  private void summands(Elements elements, long from, int n, float[] a, float[] b) {
    int shared = Math.clamp(baseElements - from, 0, n);
    read(elements, baseType, Objects.requireNonNull(baseMemory), from, shared, a);
    for (int i = shared; i < n; i++) {
      a[i] = 0;
    }
    read(elements, deltaType, Objects.requireNonNull(deltaMemory), from, n, b);
  }

  private static void read(
      Elements elements, DType type, MemorySegment memory, long from, int n, float[] out) {
    elements.read(type, memory, from, n, out);
    if (type != DType.F16) {
      for (int i = 0; i < n; i++) {
        out[i] = Float.float16ToFloat(Float.floatToFloat16(out[i]));
      }
    }
  }
}
