package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.testing.Golden;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** Every backward rule and the optimizer against PyTorch's autograd, with both kinds of kernels. */
class GoldenGradOpsTest {
  @TestFactory
  Stream<DynamicTest> rules() {
    Golden.Json cases = Golden.json("training/rules.json").get("cases");
    assertThat(cases.list()).hasSizeGreaterThan(20);
    return TestKernels.all()
        .flatMap(
            kernels ->
                cases.list().stream()
                    .map(
                        c ->
                            DynamicTest.dynamicTest(
                                kernels.name() + " " + c.get("case").string(),
                                () -> check(kernels, c))));
  }

  private static void check(Kernels kernels, Golden.Json c) {
    try (CpuOps ops = CpuOps.create(2, kernels);
        SafeTensors file = SafeTensors.open(Golden.path("training/rules.safetensors"))) {
      Run run = new Run(ops, ops.gradients(), file, c);
      switch (c.get("rule").string()) {
        case "linear" -> run.linear();
        case "rms_norm" -> run.rmsNorm();
        case "silu_mul" -> run.siluMul();
        case "attention" -> run.attention();
        case "cross_entropy" -> run.crossEntropy();
        case "adam_w" -> run.adamW();
        default -> throw new AssertionError("no test for " + c);
      }
    }
  }

  private record Run(CpuOps ops, GradOps grads, SafeTensors file, Golden.Json c) {
    Tensor tensor(String name) {
      return file.tensor(c.get("case").string() + "/" + name);
    }

    /** A writable copy. */
    Tensor copy(String name) {
      Tensor from = tensor(name);
      Tensor to = ops.allocate(from.dtype(), from.shape());
      ops.copy(from, to);
      return to;
    }

    Tensor like(String name) {
      return filled(tensor(name), 0);
    }

    Tensor filled(Tensor like, float value) {
      Tensor to = ops.allocate(DType.F32, like.shape());
      Memory.fill(to.address(), to.elements(), value);
      return to;
    }

    void expect(Tensor actual, String name, double absolute) {
      Floats.assertClose(
          Floats.of(actual), Floats.of(tensor(name)), 1e-4, absolute, c + " " + name);
    }

    void expectPlus(Tensor actual, float added, String name, double absolute) {
      float[] expected = Floats.of(tensor(name));
      for (int i = 0; i < expected.length; i++) {
        expected[i] += added;
      }
      Floats.assertClose(Floats.of(actual), expected, 1e-4, absolute, c + " + " + name);
    }

    void linear() {
      Tensor dx = filled(tensor("d_x"), Float.NaN);
      grads.linearBackward(tensor("d_out"), tensor("weight"), dx, false);
      expect(dx, "d_x", 1e-5);
      Tensor more = filled(tensor("d_x"), 3);
      grads.linearBackward(tensor("d_out"), tensor("weight"), more, true);
      expectPlus(more, 3, "d_x", 1e-5);
      Tensor dWeight = filled(tensor("d_weight"), 2);
      Tensor dBias = filled(tensor("d_bias"), 1);
      grads.linearWeightBackward(tensor("d_out"), tensor("x"), dWeight, dBias);
      expectPlus(dWeight, 2, "d_weight", 1e-5);
      expectPlus(dBias, 1, "d_bias", 1e-5);
    }

    void rmsNorm() {
      float eps = (float) c.get("eps").number();
      Tensor dx = filled(tensor("x"), Float.NaN);
      grads.rmsNormBackward(tensor("x"), tensor("weight"), eps, tensor("d_out"), dx, false);
      // The second summand nearly cancels the first where x is almost parallel to the gradient.
      expect(dx, "d_x", 2e-5);
      Tensor more = filled(tensor("x"), -2);
      grads.rmsNormBackward(tensor("x"), tensor("weight"), eps, tensor("d_out"), more, true);
      expectPlus(more, -2, "d_x", 2e-5);
    }

    void siluMul() {
      Tensor dGate = copy("d_out");
      Tensor dUp = like("up");
      grads.siluMulBackward(tensor("gate"), tensor("up"), dGate, dGate, dUp);
      expect(dGate, "d_gate", 1e-6);
      expect(dUp, "d_up", 1e-6);
    }

    void attention() {
      int[] lengths = c.get("lengths").integers();
      Tensor q = copy("q");
      Tensor k = copy("k");
      Tensor v = copy("v");
      KvCache.Pool pool =
          new KvCache.Pool(ops, DType.F32, 2, c.get("kv_heads").integer(), c.get("dim").integer());
      Batch batch = new Batch(lengths.length);
      for (int length : lengths) {
        batch.add(pool.newCache(), length);
      }
      ops.ropeAppend(q, k, v, batch, 1, tensor("frequencies"));
      Tensor out = like("q");
      ops.causalAttention(q, batch, 1, out);
      expect(out, "out", 1e-5);
      Tensor dq = filled(q, Float.NaN);
      Tensor dk = filled(k, Float.NaN);
      Tensor dv = filled(v, Float.NaN);
      grads.causalAttentionBackward(q, batch, 1, tensor("d_out"), dq, dk, dv);
      grads.ropeBackward(dq, dk, batch, tensor("frequencies"));
      expect(dq, "d_q", 1e-5);
      expect(dk, "d_k", 1e-5);
      expect(dv, "d_v", 1e-5);
    }

    void crossEntropy() {
      Tensor loss = ops.allocate(DType.F32, 1);
      Tensor dx = filled(tensor("x"), Float.NaN);
      int[] targets = c.get("targets").integers();
      grads.crossEntropy(tensor("x"), tensor("weight"), targets, 1, loss, dx);
      double expected = c.get("loss").number();
      assertThat((double) Floats.of(loss)[0]).isCloseTo(expected, within(1e-5 * expected));
      expect(dx, "d_x", 1e-6);
      grads.crossEntropy(tensor("x"), tensor("weight"), targets, 65536, loss, dx);
      assertThat(grads.unscale(dx, 1f / 65536)).isTrue();
      expect(dx, "d_x", 1e-6);
      Memory.setFloat(dx.address(), Float.NaN);
      assertThat(grads.unscale(dx, 1)).isFalse();
    }

    void adamW() {
      Tensor weight = copy("weight");
      Tensor m = like("m");
      Tensor v = like("v");
      for (int i = 0; i < 5; i++) {
        double rate = c.get("lr").number() / (i + 1);
        grads.adamW(
            weight,
            tensor("gradients").slice(i, i + 1),
            m,
            v,
            new GradOps.AdamWStep(rate, 0.9, 0.999, 1e-8, c.get("decay").number(), i + 1));
        Floats.assertClose(
            Floats.of(weight), Floats.of(tensor("weights").slice(i, i + 1)), 1e-6, 1e-8, "w " + i);
      }
      expect(m, "m", 1e-9);
      expect(v, "v", 1e-9);
    }
  }
}
