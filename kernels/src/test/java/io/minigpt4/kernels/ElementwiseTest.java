package io.minigpt4.kernels;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Element-wise kernels against plain loops, aligned and not, whole chunks and not. */
class ElementwiseTest extends KernelTest {
  private final Elementwise elementwise = new Elementwise(device.library);

  @ParameterizedTest
  @EnumSource
  void add(Element element) {
    for (int n : new int[] {1, 7, 8, 9, 2048, 2049, 5001}) {
      for (int offset : new int[] {0, 3, 8}) {
        float[] a = Device.random(element, random, n);
        float[] b = Device.random(element, random, n);
        Device.Array x = device.put(element, offset, a);
        Device.Array delta = device.put(element, b);
        elementwise.add(0, element, x.address(), delta.address(), n);
        double[] wanted = new double[n];
        for (int i = 0; i < n; i++) {
          wanted[i] = (double) a[i] + b[i];
        }
        Device.assertClose(x, wanted, 1e-7);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void siluMul(Element element) {
    for (int[] shape :
        new int[][] {{1, 8, 0}, {3, 40, 8}, {2, 2049, 3}, {5, 17, 0}, {1, 1376, 0}}) {
      int rows = shape[0];
      int width = shape[1];
      int stride = width + shape[2];
      float[] g = Device.random(element, random, rows * stride);
      float[] u = Device.random(element, random, rows * width);
      g[0] = -200; // e^200 overflows float32
      Device.Array gate = device.put(element, g);
      Device.Array up = device.put(element, u);
      Device.Array out = device.put(element, new float[rows * stride]);
      elementwise.siluMul(
          0,
          element,
          gate.address(),
          stride,
          up.address(),
          width,
          out.address(),
          stride,
          rows,
          width);
      double[] wanted = new double[rows * stride];
      for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width; i++) {
          double x = g[r * stride + i];
          wanted[r * stride + i] = x / (1 + Math.exp(-x)) * u[r * width + i];
        }
      }
      Device.assertClose(out, wanted, 1e-6);
    }
  }

  @ParameterizedTest
  @EnumSource
  void bias(Element element) {
    for (Element stored : Element.values()) {
      for (int[] shape : new int[][] {{1, 8, 0}, {3, 40, 8}, {2, 2051, 3}, {4, 24, 1}}) {
        int rows = shape[0];
        int width = shape[1];
        int stride = width + shape[2];
        for (boolean gelu : new boolean[] {false, true}) {
          Sample x = sample(element, rows * stride);
          Sample bias = sample(stored, width);
          double[] wanted = new double[rows * stride];
          for (int i = 0; i < wanted.length; i++) {
            double sum = i % stride < width ? (double) x.get(i) + bias.get(i % stride) : x.get(i);
            wanted[i] = gelu && i % stride < width ? gelu(sum) : sum;
          }
          if (gelu) {
            elementwise.biasGelu(
                0, element, x.address(), stride, bias.address(), stored, rows, width);
          } else {
            elementwise.bias(0, element, x.address(), stride, bias.address(), stored, rows, width);
          }
          Device.assertClose(x.array(), wanted, 1e-6);
        }
      }
    }
  }

  /** x/2 · (1 + erf(x/√2)), the error function by its Taylor series; fine for |x| below 8. */
  static double gelu(double x) {
    double z = x / Math.sqrt(2);
    double term = z;
    double sum = z;
    for (int n = 1; n < 200; n++) {
      term *= -z * z / n;
      sum += term / (2 * n + 1);
    }
    return x / 2 * (1 + 2 / Math.sqrt(Math.PI) * sum);
  }
}
