package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Casts, fills and transpositions. */
class ConversionsTest extends KernelTest {
  private final Conversions conversions = new Conversions(device.library);

  @ParameterizedTest
  @EnumSource
  void cast(Element to) {
    for (Element from : Element.values()) {
      for (int[] shape :
          new int[][] {
            {1, 1, 0, 0}, {3, 13, 0, 0}, {5, 24, 8, 16}, {4, 30, 1, 0}, {1, 5000, 0, 0}
          }) {
        int rows = shape[0];
        int width = shape[1];
        int stride = width + shape[2];
        int outStride = width + shape[3];
        Sample x = sample(from, rows * stride);
        Device.Array out = device.put(to, new float[rows * outStride]);
        conversions.cast(0, from, x.address(), stride, to, out.address(), outStride, rows, width);
        double[] wanted = new double[rows * outStride];
        for (int r = 0; r < rows; r++) {
          for (int i = 0; i < width; i++) {
            wanted[r * outStride + i] = Device.round(to, x.get(r * stride + i));
          }
        }
        Device.assertClose(out, wanted, 0);
        assertThat(out.read()[0]).isEqualTo((float) wanted[0]);
      }
    }
  }

  @Test
  void castRoundsTiesToEvenAndOverflowsToInfinity() {
    float[] values = {1 + 0x1p-11f, 1 + 0x1.8p-10f, 70000, -70000, 0x1p-25f, Float.NaN, 65519, -0f};
    Device.Array x = device.put(Element.F32, values);
    Device.Array out = device.put(Element.F16, new float[values.length]);
    conversions.cast(0, Element.F32, x.address(), 8, Element.F16, out.address(), 8, 1, 8);
    float inf = Float.POSITIVE_INFINITY;
    assertThat(out.read()).containsExactly(1, 1 + 0x1p-9f, inf, -inf, 0, Float.NaN, 65504, -0f);
  }

  @ParameterizedTest
  @EnumSource
  void fill(Element element) {
    for (int n : new int[] {1, 8, 2049}) {
      Device.Array x = device.put(element, n % 3, new float[n]);
      conversions.fill(0, element, x.address(), -2.5f, n);
      assertThat(x.read()).containsOnly(-2.5f);
    }
  }

  @ParameterizedTest
  @EnumSource
  void transpose(Element element) {
    for (int[] shape : new int[][] {{1, 1, 0, 0}, {32, 32, 0, 0}, {33, 70, 5, 1}, {100, 7, 0, 3}}) {
      int rows = shape[0];
      int columns = shape[1];
      int stride = columns + shape[2];
      int outStride = rows + shape[3];
      Sample x = sample(element, rows * stride);
      Device.Array out = device.put(element, new float[columns * outStride]);
      conversions.transpose(
          0, element, x.address(), stride, out.address(), outStride, rows, columns);
      double[] wanted = new double[columns * outStride];
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < columns; c++) {
          wanted[c * outStride + r] = x.get(r * stride + c);
        }
      }
      Device.assertClose(out, wanted, 0);
    }
  }
}
