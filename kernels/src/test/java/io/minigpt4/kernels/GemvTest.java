package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Small products against loops in double. */
class GemvTest extends KernelTest {
  private final Gemv gemv = new Gemv(device.library);

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16"})
  void everyBatch(Element element) {
    for (int batch = 1; batch <= Gemv.MAX_BATCH; batch++) {
      run(element, batch, 37, 8 * (1 + 31 * batch), 8 * (batch % 3), Element.F32, batch % 2 == 0);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16"})
  void raggedShapes(Element element) {
    for (int k : new int[] {8, 64, 72, 512, 1032, 5120}) {
      for (int n : new int[] {1, 16, 17}) {
        run(element, 2, n, k, 0, element, true);
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void outputOfAnyType(Element out) {
    run(Element.F16, 3, 48, 768, 8, out, true);
    run(Element.BF16, 1, 48, 768, 0, out, false);
  }

  private void run(
      Element element, int batch, int n, int k, int gap, Element outElement, boolean withBias) {
    Sample x = sample(element, batch * (k + gap));
    Sample weight = sample(element, n * k);
    Sample bias = sample(Element.F32, n);
    int outStride = n + gap;
    for (Gemv.Activation activation : Gemv.Activation.values()) {
      Device.Array out = device.put(outElement, new float[batch * outStride]);
      gemv.launch(
          0,
          element,
          x.address(),
          k + gap,
          batch,
          weight.address(),
          n,
          k,
          withBias ? bias.address() : 0,
          Element.F32,
          activation,
          out.address(),
          outElement,
          outStride);
      double[] wanted = new double[batch * outStride];
      for (int b = 0; b < batch; b++) {
        for (int r = 0; r < n; r++) {
          double sum = withBias ? bias.get(r) : 0;
          for (int i = 0; i < k; i++) {
            sum += (double) x.get(b * (k + gap) + i) * weight.get(r * k + i);
          }
          wanted[b * outStride + r] = activation == Gemv.Activation.GELU ? gelu(sum) : sum;
        }
      }
      // Sums of k products of size 1 have the size √k, and float32 about seven digits.
      Device.assertClose(out, wanted, 1e-6 * Math.sqrt(k));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16"})
  void groups(Element element) {
    group(element, 1, 72, new int[] {48, 16, 33});
    group(element, 8, 512, new int[] {17, 40, 0});
    group(element, 3, 64, new int[] {1, 0, 5});
  }

  private void group(Element element, int batch, int k, int[] n) {
    Sample x = sample(element, batch * (k + 8));
    Sample[] weights = new Sample[3];
    Device.Array[] outs = new Device.Array[3];
    for (int i = 0; i < 3; i++) {
      weights[i] = sample(element, n[i] * k);
      outs[i] = device.put(element, new float[batch * (n[i] + i)]);
    }
    gemv.launchGroup(
        0,
        element,
        x.address(),
        k + 8,
        batch,
        k,
        weights[0].address(),
        n[0],
        outs[0].address(),
        n[0],
        weights[1].address(),
        n[1],
        outs[1].address(),
        n[1] + 1,
        weights[2].address(),
        n[2],
        outs[2].address(),
        n[2] + 2);
    for (int i = 0; i < 3; i++) {
      int stride = n[i] + i;
      double[] wanted = new double[batch * stride];
      for (int b = 0; b < batch; b++) {
        for (int r = 0; r < n[i]; r++) {
          for (int j = 0; j < k; j++) {
            wanted[b * stride + r] += (double) x.get(b * (k + 8) + j) * weights[i].get(r * k + j);
          }
        }
      }
      Device.assertClose(outs[i], wanted, 1e-6 * Math.sqrt(k));
    }
  }

  /** The series of {@link ElementwiseTest#gelu} loses itself in large numbers, which are easy. */
  static double gelu(double x) {
    return Math.abs(x) < 6 ? ElementwiseTest.gelu(x) : Math.max(x, 0);
  }

  @Test
  void saysWhatItAccepts() {
    assertThat(Gemv.accepts(Element.F16, 0, 8, 8, 0, 8)).isTrue();
    assertThat(Gemv.accepts(Element.BF16, 16, 7, 1, 32, 5120)).isTrue();
    assertThat(Gemv.accepts(Element.F32, 0, 8, 1, 0, 8)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 0, 8, 9, 0, 8)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 0, 8, 0, 0, 8)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 0, 8, 1, 0, 12)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 0, 12, 2, 0, 8)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 8, 8, 1, 0, 8)).isFalse();
    assertThat(Gemv.accepts(Element.F16, 0, 8, 1, 8, 8)).isFalse();
    assertThatIllegalArgumentException()
        .isThrownBy(
            () ->
                gemv.launch(
                    0,
                    Element.F16,
                    0,
                    8,
                    9,
                    0,
                    1,
                    8,
                    0,
                    Element.F16,
                    Gemv.Activation.NONE,
                    0,
                    Element.F16,
                    1))
        .withMessageContaining("9 rows");
  }
}
