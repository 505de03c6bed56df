package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;

/** Reading and comparing tensors in tests. */
final class Floats {
  private Floats() {}

  /** All elements, row by row, gaps between rows left out. */
  static float[] of(Tensor tensor) {
    assertThat(tensor.dtype()).isEqualTo(DType.F32);
    float[] values = new float[Math.toIntExact(tensor.elements())];
    int at = 0;
    for (long row = 0; row < tensor.rows(); row++) {
      for (long column = 0; column < tensor.width(); column++) {
        values[at++] = Memory.getFloat(tensor.address() + 4 * (row * tensor.rowStride() + column));
      }
    }
    return values;
  }

  /** Each |actual − expected| ≤ relative · |expected| + absolute, and no NaN. */
  static void assertClose(
      float[] actual, float[] expected, double relative, double absolute, String what) {
    assertThat(actual).as(what).hasSameSizeAs(expected);
    for (int i = 0; i < actual.length; i++) {
      double limit = relative * Math.abs(expected[i]) + absolute;
      assertThat((double) Math.abs(actual[i] - expected[i]))
          .as("%s: element %d is %s, expected %s", what, i, actual[i], expected[i])
          .isLessThanOrEqualTo(limit);
    }
  }
}
