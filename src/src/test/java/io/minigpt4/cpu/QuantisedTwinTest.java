package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Products with quantised weights: the vector kernels against their scalar twin, and that against
 * sums in double precision over the elements that {@link Quantised} describes.
 */
class QuantisedTwinTest {
  private final CpuOps vector = CpuOps.create(2, new VectorKernels());
  private final CpuOps scalar = CpuOps.create(1, new ScalarKernels());

  /** With native products where the machine runs them. */
  private final CpuOps fastest = CpuOps.createExact(2);

  /** By dot products of bfloat16 where the processor has them. */
  private final CpuOps rounding = CpuOps.create(2);

  private final SplittableRandom random = new SplittableRandom(11);

  @AfterEach
  void close() {
    rounding.close();
    fastest.close();
    vector.close();
    scalar.close();
  }

  private Tensor filled(long... shape) {
    Tensor tensor = vector.allocate(DType.F32, shape);
    float[] values = new float[(int) tensor.elements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    vector.write(MemorySegment.ofArray(values), tensor);
    return tensor;
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 32",
    "1, 3, 17, 32",
    "1, 7, 512, 32",
    "1, 9, 513, 32",
    "1, 33, 1376, 32",
    "1, 130, 2048, 64",
    "1, 20, 300, 128",
    "1, 20, 2100, 8",
    "2, 7, 33, 32",
    "7, 9, 640, 64",
    "8, 6, 1100, 32",
    "9, 4, 64, 32",
    "17, 33, 520, 32",
    "53, 130, 129, 128",
    "257, 20, 88, 40"
  })
  void linear(int m, int n, int k, int group) {
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      Tensor x = filled(m, k + 3).columns(2, k + 2);
      Quantiser quantiser = new Quantiser(type, group);
      Tensor w = quantiser.quantise(filled(n, k), Arena.ofAuto()).matrix();
      Tensor bias = filled(n);
      Tensor into = filled(m, n + 5);
      float[] around = Floats.of(into.columns(n + 1, n + 5));
      Tensor out = into.columns(1, n + 1);
      Tensor expected = scalar.allocate(DType.F32, m, n);
      vector.linear(x, w, bias, out);
      scalar.linear(x, w, bias, expected);
      double absolute = 4e-6 * Math.sqrt(k) + 1e-6;
      Floats.assertClose(Floats.of(expected), doubles(x, w, bias), 1e-5, absolute, "scalar");
      Floats.assertClose(Floats.of(out), Floats.of(expected), 2e-5, absolute, type.toString());
      fastest.linear(x, w, bias, out);
      Floats.assertClose(Floats.of(out), Floats.of(expected), 2e-5, absolute, type + " natively");
      vector.linearPerRow(x, w, bias, out);
      // By Q4: sums hold up to 264 times what they are about until the end.
      double slack = type == DType.Q4 ? 4e-5 * Math.sqrt(k) : absolute;
      Floats.assertClose(Floats.of(out), Floats.of(expected), 2e-5, slack, type + " per row");
      fastest.linearPerRow(x, w, bias, out);
      Floats.assertClose(Floats.of(out), Floats.of(expected), 2e-5, slack, type + " fastest");
      assertThat(Floats.of(into.columns(n + 1, n + 5))).containsExactly(around);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 2, 32",
    "1, 9, 513, 32",
    "2, 7, 34, 32",
    "7, 9, 640, 64",
    "8, 6, 1100, 32",
    "17, 33, 520, 32",
    "53, 130, 126, 128",
    "30, 35, 4128, 128",
    "257, 20, 88, 40"
  })
  void dotProductsOfBfloat16(int m, int n, int k, int group) {
    assumeTrue(CpuOps.nativeProducts().contains("BF16"), CpuOps.nativeProducts());
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      Tensor x = filled(m, k + 3).columns(2, k + 2);
      Tensor w = new Quantiser(type, group).quantise(filled(n, k), Arena.ofAuto()).matrix();
      Tensor bias = filled(n);
      Tensor into = filled(m, n + 5);
      float[] around = Floats.of(into.columns(n + 1, n + 5));
      Tensor out = into.columns(1, n + 1);
      rounding.linear(x, w, bias, out);
      float[] expected = doubles(x, w, bias, k % 2 == 0 ? QuantisedTwinTest::brain : v -> v);
      double absolute = 4e-6 * Math.sqrt(k) + 1e-6;
      Floats.assertClose(Floats.of(out), expected, 2e-5, absolute, type.toString());
      assertThat(Floats.of(into.columns(n + 1, n + 5))).containsExactly(around);
      rounding.linear(x.slice(m / 2, m), w, bias, out.slice(m / 2, m));
      Floats.assertClose(Floats.of(out), expected, 2e-5, absolute, type + ", fewer rows");
    }
  }

  /** The nearest number that bfloat16 has. */
  private static float brain(float value) {
    return Float.intBitsToFloat(ScalarKernels.toBFloat16(value) << 16);
  }

  private static float[] doubles(Tensor x, Tensor w, Tensor bias) {
    return doubles(x, w, bias, v -> v);
  }

  private static float[] doubles(Tensor x, Tensor w, Tensor bias, UnaryOperator<Float> rounding) {
    QuantisedRows rows = new QuantisedRows();
    rows.set(w);
    float[] inputs = Floats.of(x);
    float[] biases = Floats.of(bias);
    int n = (int) w.rows();
    int k = (int) w.width();
    float[] out = new float[(int) (x.rows() * n)];
    for (int i = 0; i < x.rows(); i++) {
      for (int j = 0; j < n; j++) {
        double sum = biases[j];
        for (int c = 0; c < k; c++) {
          float weight = rounding.apply(ScalarQuantised.element(rows, j, c));
          sum += (double) rounding.apply(inputs[i * k + c]) * weight;
        }
        out[i * n + j] = (float) sum;
      }
    }
    return out;
  }

  @ParameterizedTest
  @CsvSource({"1, 8, 24, 32", "5, 70, 600, 32", "40, 33, 1030, 64"})
  void backward(int m, int n, int k, int group) {
    for (DType type : new DType[] {DType.Q8, DType.Q4}) {
      Tensor w = new Quantiser(type, group).quantise(filled(n, k), Arena.ofAuto()).matrix();
      Tensor dOut = filled(m, n);
      Tensor dx = filled(m, k);
      Tensor expected = scalar.allocate(DType.F32, m, k);
      vector.gradients().linearBackward(dOut, w, dx, false);
      scalar.gradients().linearBackward(dOut, w, expected, false);
      double absolute = 4e-6 * Math.sqrt(n) + 1e-6;
      Floats.assertClose(Floats.of(dx), Floats.of(expected), 2e-5, absolute, type.toString());
      fastest.gradients().linearBackward(dOut, w, dx, false);
      Floats.assertClose(Floats.of(dx), Floats.of(expected), 2e-5, absolute, type + " natively");
    }
  }
}
