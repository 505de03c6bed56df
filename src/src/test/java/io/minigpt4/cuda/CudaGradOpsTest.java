package io.minigpt4.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.testing.Golden;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Every backward rule and the optimizer on a software GPU against PyTorch's autograd. */
class CudaGradOpsTest {
  /** Of the largest value: operands and results are rounded to float16. */
  private static final double TOLERANCE = 4e-3;

  private static SoftCuda cuda;
  private static CudaOps ops;
  private static GradOps grads;
  private static SafeTensors file;

  @BeforeAll
  static void open() {
    cuda = SoftCuda.create();
    ops = cuda.open(0);
    grads = ops.gradients();
    file = SafeTensors.open(Golden.path("training/rules.safetensors"));
  }

  @AfterAll
  static void close() {
    file.close();
    ops.close();
    assertThat(cuda.driver().faults()).isEmpty();
    cuda.close();
  }

  @TestFactory
  Stream<DynamicTest> rules() {
    List<Golden.Json> cases =
        Golden.json("training/rules.json").get("cases").list().stream()
            .filter(c -> !c.get("rule").string().equals("attention") || isWidthOfKernels(c))
            .toList();
    assertThat(cases.stream().filter(c -> c.get("rule").string().equals("attention")))
        .hasSizeGreaterThan(1);
    return cases.stream()
        .map(c -> DynamicTest.dynamicTest(c.get("case").string(), () -> new Run(c).check()));
  }

  private static boolean isWidthOfKernels(Golden.Json attention) {
    return attention.get("dim").integer() % 8 == 0;
  }

  private record Run(Golden.Json c) {
    void check() {
      switch (c.get("rule").string()) {
        case "linear" -> linear();
        case "rms_norm" -> rmsNorm();
        case "silu_mul" -> siluMul();
        case "attention" -> attention();
        case "cross_entropy" -> crossEntropy();
        case "adam_w" -> adamW();
        default -> throw new AssertionError("no test for " + c);
      }
    }

    Tensor host(String name) {
      return file.tensor(c.get("case").string() + "/" + name);
    }

    float[] floats(String name) {
      return CudaGradOpsTest.floats(host(name));
    }

    /** On the device, as an activation. */
    Tensor half(String name) {
      return put(DType.F16, floats(name), host(name).shape());
    }

    /** On the device, as weights are loaded. */
    Tensor weight(String name) {
      return ops.load(host(name));
    }

    Tensor filled(DType type, String like, float value) {
      float[] values = new float[(int) host(like).elements()];
      Arrays.fill(values, value);
      return put(type, values, host(like).shape());
    }

    void expect(Tensor actual, String name) {
      expectPlus(actual, 0, name, TOLERANCE);
    }

    void expectPlus(Tensor actual, float added, String name, double tolerance) {
      float[] expected = floats(name);
      for (int i = 0; i < expected.length; i++) {
        expected[i] += added;
      }
      assertNear(c + " " + name, read(actual), expected, tolerance);
    }

    void linear() {
      Tensor dx = filled(DType.F16, "d_x", Float.NaN);
      grads.linearBackward(half("d_out"), weight("weight"), dx, false);
      expect(dx, "d_x");
      Tensor more = filled(DType.F16, "d_x", 3);
      grads.linearBackward(half("d_out"), weight("weight"), more, true);
      expectPlus(more, 3, "d_x", TOLERANCE);
      Tensor dWeight = filled(DType.F32, "d_weight", 2);
      Tensor dBias = filled(DType.F32, "d_bias", 1);
      grads.linearWeightBackward(half("d_out"), half("x"), dWeight, dBias);
      expectPlus(dWeight, 2, "d_weight", TOLERANCE);
      expectPlus(dBias, 1, "d_bias", TOLERANCE);
    }

    void rmsNorm() {
      float eps = (float) c.get("eps").number();
      Tensor dx = filled(DType.F16, "x", Float.NaN);
      grads.rmsNormBackward(half("x"), weight("weight"), eps, half("d_out"), dx, false);
      expect(dx, "d_x");
      Tensor more = filled(DType.F16, "x", -2);
      grads.rmsNormBackward(half("x"), weight("weight"), eps, half("d_out"), more, true);
      expectPlus(more, -2, "d_x", TOLERANCE);
    }

    void siluMul() {
      Tensor dGate = half("d_out");
      Tensor dUp = filled(DType.F16, "up", 0);
      grads.siluMulBackward(half("gate"), half("up"), dGate, dGate, dUp);
      expect(dGate, "d_gate");
      expect(dUp, "d_up");
    }

    void attention() {
      int[] lengths = c.get("lengths").integers();
      Tensor q = half("q");
      int dim = c.get("dim").integer();
      KvCache.Pool pool = new KvCache.Pool(ops, DType.F16, 2, c.get("kv_heads").integer(), dim);
      Batch batch = new Batch(lengths.length);
      for (int length : lengths) {
        batch.add(pool.newCache(), length);
      }
      Tensor frequencies = weight("frequencies");
      ops.ropeAppend(q, half("k"), half("v"), batch, 1, frequencies);
      Tensor dq = filled(DType.F16, "q", Float.NaN);
      Tensor dk = filled(DType.F16, "k", Float.NaN);
      Tensor dv = filled(DType.F16, "v", Float.NaN);
      grads.causalAttentionBackward(q, batch, 1, half("d_out"), dq, dk, dv);
      grads.ropeBackward(dq, dk, batch, frequencies);
      expect(dq, "d_q");
      expect(dk, "d_k");
      expect(dv, "d_v");
    }

    void crossEntropy() {
      Tensor loss = ops.allocate(DType.F32, 1);
      Tensor dx = filled(DType.F16, "x", Float.NaN);
      int[] targets = c.get("targets").integers();
      // Unscaled, the smallest slopes are below what float16 holds.
      float scale = 256;
      grads.crossEntropy(half("x"), weight("weight"), targets, scale, loss, dx);
      double expected = c.get("loss").number();
      assertThat((double) read(loss)[0]).isCloseTo(expected, within(2e-3 * expected));
      float[] scaled = floats("d_x");
      for (int i = 0; i < scaled.length; i++) {
        scaled[i] *= scale;
      }
      assertNear(c + " d_x", read(dx), scaled, TOLERANCE);
    }

    void adamW() {
      Tensor weight = put(DType.F32, floats("weight"), host("weight").shape());
      Tensor m = filled(DType.F32, "m", 0);
      Tensor v = filled(DType.F32, "v", 0);
      for (int i = 0; i < 5; i++) {
        Tensor gradient = host("gradients").slice(i, i + 1);
        GradOps.AdamWStep step =
            new GradOps.AdamWStep(
                c.get("lr").number() / (i + 1), 0.9, 0.999, 1e-8, c.get("decay").number(), i + 1);
        Tensor onDevice = put(DType.F32, CudaGradOpsTest.floats(gradient), gradient.elements());
        grads.adamW(weight, onDevice, m, v, step);
        float[] expected = CudaGradOpsTest.floats(host("weights").slice(i, i + 1));
        assertNear("step " + i, read(weight), expected, 1e-6);
      }
      expectPlus(m, 0, "m", 1e-6);
      expectPlus(v, 0, "v", 1e-6);
    }
  }

  /** A tensor of a file as it is. */
  private static float[] floats(Tensor tensor) {
    return tensor.segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  /** As a part of the largest value, and a rounding of what cancels in float32. */
  private static void assertNear(String what, float[] actual, float[] expected, double tolerance) {
    assertThat(actual.length).as(what).isEqualTo(expected.length);
    double largest = 0;
    for (float value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    for (int i = 0; i < expected.length; i++) {
      assertThat((double) actual[i])
          .as("%s [%d], of values up to %f", what, i, largest)
          .isCloseTo(expected[i], within(tolerance * largest + 2e-7));
    }
  }

  private static Tensor put(DType type, float[] values, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    ops.write(MemorySegment.ofArray(values), tensor);
    return tensor;
  }

  private static float[] read(Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      ops.read(tensor, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  /** An image row that several places, or none, have read. */
  @Test
  void imageRows() {
    Tensor dOut = put(DType.F16, new float[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 5, 2);
    Tensor rows = put(DType.F16, new float[] {100, 100, 200, 200, 300, 300}, 3, 2);
    grads.embedBackward(new int[] {~2, 7, ~0, ~2, ~2, 1}, 4, dOut, rows);
    assertThat(read(rows)).containsExactly(105, 106, 200, 200, 308, 310);
  }

  @Test
  void gradientsThatAreNotFinite() {
    Tensor fine = put(DType.F32, new float[] {1, -2, 65536}, 3);
    assertThat(grads.unscale(fine, 0.5f)).isTrue();
    assertThat(read(fine)).containsExactly(0.5f, -1, 32768);
    assertThat(grads.unscale(put(DType.F32, new float[] {1, Float.NaN}, 2), 1)).isFalse();
    assertThat(grads.unscale(put(DType.F32, new float[] {Float.MAX_VALUE}, 1), 2)).isFalse();
    assertThat(grads.unscale(fine, 2)).isTrue();
  }
}
