package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Small products with weights in 8 and 4 bits against loops in double. */
class QuantisedLinearTest extends KernelTest {
  private final QuantisedLinear linear = new QuantisedLinear(device.library);

  /** A random matrix in one of the two forms, and its elements. */
  private final class Matrix {
    final float[] elements;
    final QuantisedLinear.Weight weight;

    Matrix(int group, int n, int k) {
      elements = new float[n * k];
      weight = group == 0 ? bytes(n, k) : nibbles(group, n, k);
    }

    private QuantisedLinear.Weight bytes(int n, int k) {
      byte[] bytes = new byte[n * k];
      random.nextBytes(bytes);
      float[] scales = new float[n];
      for (int row = 0; row < n; row++) {
        scales[row] = 0.001f * (1 + random.nextInt(10));
        for (int i = 0; i < k; i++) {
          elements[row * k + i] = bytes[row * k + i] * scales[row];
        }
      }
      long at = device.put(bytes);
      return new QuantisedLinear.Weight(at, device.put(Element.F32, scales).address(), 0, n, k);
    }

    private QuantisedLinear.Weight nibbles(int group, int n, int k) {
      int blocks = (k + 16 * group - 1) / (16 * group);
      float[] scales = new float[n * blocks * 16];
      for (int i = 0; i < scales.length; i++) {
        scales[i] = Device.round(Element.BF16, 0.01f * (1 + random.nextInt(10)));
      }
      ByteBuffer words = ByteBuffer.allocate(n * blocks * 8 * group).order(ByteOrder.LITTLE_ENDIAN);
      for (int row = 0; row < n; row++) {
        for (int line = 0; line < blocks * group / 8; line++) {
          for (int lane = 0; lane < 16; lane++) {
            int word = random.nextInt();
            words.putInt(Integer.rotateLeft(word, 3));
            for (int nibble = 0; nibble < 8; nibble++) {
              int element = line * 128 + nibble * 16 + lane;
              if (element < k) {
                int block = element / (16 * group);
                float scale = scales[(row * blocks + block) * 16 + lane];
                elements[row * k + element] = (((word >>> (4 * nibble)) & 15) - 8) * scale;
              }
            }
          }
        }
      }
      long at = device.put(words.array());
      long factors = device.put(Element.BF16, scales).address();
      return new QuantisedLinear.Weight(at, factors, group, n, k);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0, 1, 1, 16",
    "0, 3, 37, 80",
    "0, 8, 16, 512",
    "0, 2, 17, 1040",
    "32, 1, 1, 4",
    "32, 3, 37, 516",
    "32, 8, 16, 512",
    "32, 2, 17, 1376",
    "64, 1, 5, 2100",
    "128, 4, 20, 96"
  })
  void gemv(int group, int batch, int n, int k) {
    Matrix w = new Matrix(group, n, k);
    int stride = k + 8;
    Sample x = sample(Element.F16, batch * stride);
    Sample bias = sample(Element.F32, n);
    for (Gemv.Activation activation : Gemv.Activation.values()) {
      Device.Array out = device.put(Element.F32, new float[batch * n]);
      linear.gemv(
          0,
          x.address(),
          stride,
          batch,
          w.weight,
          bias.address(),
          Element.F32,
          activation,
          out.address(),
          Element.F32,
          n);
      double[] wanted = new double[batch * n];
      for (int b = 0; b < batch; b++) {
        for (int r = 0; r < n; r++) {
          double sum = bias.get(r);
          for (int i = 0; i < k; i++) {
            sum += (double) x.get(b * stride + i) * w.elements[r * k + i];
          }
          wanted[b * n + r] = activation == Gemv.Activation.GELU ? GemvTest.gelu(sum) : sum;
        }
      }
      // In 4 bits an element is rounded to float16 once more.
      Device.assertClose(out, wanted, (group == 0 ? 2e-6 : 4e-4) * Math.sqrt(k));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0, 1, 80, 37, 5, 16",
    "0, 8, 48, 16, 16, 0",
    "32, 2, 516, 3, 40, 17",
    "64, 1, 96, 1, 0, 1"
  })
  void aGroupGivesWhatItsProductsGive(int group, int batch, int k, int n0, int n1, int n2) {
    int stride = k + 8;
    Sample x = sample(Element.F16, batch * stride);
    int[] rows = {n0, n1, n2};
    QuantisedLinear.Weight[] weights = new QuantisedLinear.Weight[3];
    Device.Array[] together = new Device.Array[3];
    Device.Array[] alone = new Device.Array[3];
    for (int i = 0; i < 3; i++) {
      // A matrix of no rows still needs an address.
      QuantisedLinear.Weight whole = new Matrix(group, Math.max(1, rows[i]), k).weight;
      weights[i] = new QuantisedLinear.Weight(whole.elements(), whole.scales(), group, rows[i], k);
      together[i] = device.put(Element.F16, new float[batch * (rows[i] + 3)]);
      alone[i] = device.put(Element.F16, new float[batch * (rows[i] + 3)]);
      linear.gemv(
          0,
          x.address(),
          stride,
          batch,
          weights[i],
          0,
          Element.F16,
          Gemv.Activation.NONE,
          alone[i].address(),
          Element.F16,
          rows[i] + 3);
    }
    linear.gemvGroup(
        0,
        x.address(),
        stride,
        batch,
        weights[0],
        together[0].address(),
        n0 + 3,
        weights[1],
        together[1].address(),
        n1 + 3,
        weights[2],
        together[2].address(),
        n2 + 3);
    for (int i = 0; i < 3; i++) {
      assertThat(together[i].read()).as("product %d", i).containsExactly(alone[i].read());
    }
    QuantisedLinear.Weight other =
        new QuantisedLinear.Weight(weights[1].elements(), weights[1].scales(), group, 1, k + 16);
    assertThat(weights[0].goesWith(weights[1])).isTrue();
    assertThat(weights[0].goesWith(other)).isFalse();
  }

  @ParameterizedTest
  @CsvSource({"0, 5, 40", "0, 3, 48", "0, 3, 7", "32, 5, 600", "32, 1, 512", "128, 3, 33"})
  void dequantise(int group, int n, int k) {
    Matrix w = new Matrix(group, n, k);
    Device.Array out = device.put(Element.F16, new float[n * k]);
    linear.dequantise(0, w.weight, out.address());
    float[] halves = new float[n * k];
    for (int i = 0; i < halves.length; i++) {
      halves[i] = Device.round(Element.F16, w.elements[i]);
    }
    assertThat(out.read()).containsExactly(halves);
  }

  @Test
  void saysWhatItAccepts() {
    QuantisedLinear.Weight eight = new QuantisedLinear.Weight(0, 0, 0, 1, 16);
    QuantisedLinear.Weight four = new QuantisedLinear.Weight(0, 0, 32, 1, 4);
    assertThat(QuantisedLinear.accepts(16, 8, 8, eight)).isTrue();
    assertThat(QuantisedLinear.accepts(8, 4, 8, four)).isTrue();
    assertThat(QuantisedLinear.accepts(16, 8, 9, eight)).isFalse();
    assertThat(QuantisedLinear.accepts(8, 8, 1, eight)).isFalse();
    assertThat(QuantisedLinear.accepts(16, 4, 2, eight)).isFalse();
    assertThat(QuantisedLinear.accepts(4, 4, 1, four)).isFalse();
    assertThat(QuantisedLinear.accepts(0, 8, 1, new QuantisedLinear.Weight(0, 0, 0, 1, 24)))
        .isFalse();
    assertThat(QuantisedLinear.accepts(0, 8, 1, new QuantisedLinear.Weight(8, 0, 32, 1, 8)))
        .isFalse();
    assertThatIllegalArgumentException()
        .isThrownBy(
            () ->
                linear.gemv(
                    0, 0, 8, 9, eight, 0, Element.F16, Gemv.Activation.NONE, 0, Element.F16, 1))
        .withMessageContaining("9 rows");
  }
}
