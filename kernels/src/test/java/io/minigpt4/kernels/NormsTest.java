package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Norms against their definitions in double. */
class NormsTest extends KernelTest {
  private static final float EPS = 1e-5f;
  private static final int[][] SHAPES = {
    {1, 1, 0},
    {2, 7, 0},
    {3, 8, 0},
    {2, 88, 1},
    {3, 257, 0},
    {2, 1408, 0},
    {1, 9001, 3},
    {1, 16384, 0}
  };

  private final Norms norms = new Norms(device.library);

  @ParameterizedTest
  @EnumSource
  void layerNorm(Element element) {
    for (int[] shape : SHAPES) {
      for (Element parameters : Element.values()) {
        run(element, parameters, shape[0], shape[1], shape[2], true);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void rmsNorm(Element element) {
    for (int[] shape : SHAPES) {
      for (Element parameters : Element.values()) {
        run(element, parameters, shape[0], shape[1], shape[2], false);
      }
    }
  }

  private void run(
      Element element, Element parameters, int rows, int width, int offset, boolean centre) {
    Sample x = sample(element, offset, rows * width);
    Sample delta = sample(element, rows * width);
    Sample weight = sample(parameters, width);
    Sample bias = sample(parameters, offset, width);
    Device.Array out = device.put(element, new float[rows * width]);
    double[] plain = new double[rows * width];
    double[] sums = new double[rows * width];
    for (int i = 0; i < plain.length; i++) {
      plain[i] = x.get(i);
      sums[i] = (double) x.get(i) + delta.get(i);
    }
    long xa = x.address();
    long wa = weight.address();
    long ba = bias.address();
    if (centre) {
      norms.layerNorm(
          0, element, xa, wa, parameters, ba, parameters, EPS, out.address(), rows, width);
    } else {
      norms.rmsNorm(0, element, xa, wa, parameters, EPS, out.address(), rows, width);
    }
    Device.assertClose(out, wanted(plain, weight, bias, rows, width, centre), 4e-6);
    Device.assertClose(x.array(), plain, 0);

    long da = delta.address();
    if (centre) {
      norms.addLayerNorm(
          0, element, xa, da, wa, parameters, ba, parameters, EPS, out.address(), rows, width);
    } else {
      norms.addRmsNorm(0, element, xa, da, wa, parameters, EPS, out.address(), rows, width);
    }
    Device.assertClose(out, wanted(sums, weight, bias, rows, width, centre), 4e-6);
    Device.assertClose(x.array(), sums, 1e-7);
  }

  private static double[] wanted(
      double[] x, Sample weight, Sample bias, int rows, int width, boolean centre) {
    double[] out = new double[x.length];
    for (int r = 0; r < rows; r++) {
      double mean = 0;
      for (int i = 0; centre && i < width; i++) {
        mean += x[r * width + i] / width;
      }
      double variance = 0;
      for (int i = 0; i < width; i++) {
        variance += Math.pow(x[r * width + i] - mean, 2) / width;
      }
      for (int i = 0; i < width; i++) {
        out[r * width + i] =
            (x[r * width + i] - mean) / Math.sqrt(variance + EPS) * weight.get(i)
                + (centre ? bias.get(i) : 0);
      }
    }
    return out;
  }

  /** The mean of large numbers far from zero must not eat the variance. */
  @Test
  void offsetRows() {
    int width = 1000;
    float[] values = new float[width];
    double[] wanted = new double[width];
    for (int i = 0; i < width; i++) {
      values[i] = 10000 + i % 2;
      wanted[i] = (i % 2 - 0.5) / Math.sqrt(0.25 + EPS);
    }
    Device.Array x = device.put(Element.F32, values);
    float[] ones = new float[width];
    Arrays.fill(ones, 1);
    long weight = device.put(Element.F32, ones).address();
    long bias = device.put(Element.F32, new float[width]).address();
    norms.layerNorm(
        0,
        Element.F32,
        x.address(),
        weight,
        Element.F32,
        bias,
        Element.F32,
        EPS,
        x.address(),
        1,
        width);
    Device.assertClose(x, wanted, 2e-3);
  }

  @Test
  void refusesTooWideRows() {
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> norms.rmsNorm(0, Element.F16, 0, 0, Element.F16, EPS, 0, 1, Norms.MAX_WIDTH + 1))
        .withMessageContaining("16384");
  }
}
