package io.minigpt4.cli;

import io.minigpt4.cli.SelfTest.Call;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.util.Arrays;
import java.util.Locale;

/** The operations of training in {@link SelfTest}, all of them at one size. */
final class BackwardSelfTest {
  private final SelfTest test;
  private final SelfTestTensors tensors;

  BackwardSelfTest(SelfTest test) {
    this.test = test;
    this.tensors = test.tensors();
  }

  /**
   * Compares all of them.
   *
   * @param rows of activations
   * @param width of the residual stream
   * @param vocabulary of the language model's head
   */
  void run(int rows, int width, int vocabulary, int heads, int headDim) {
    linear(rows, width);
    elements(rows, width);
    attention(rows, heads, headDim);
    loss(rows, width, vocabulary);
    optimizer(width);
  }

  private static Tensor like(Ops ops, int rows, int width) {
    return ops.allocate(ops.activation(), rows, width);
  }

  private void linear(int rows, int width) {
    String shape = rows + "×" + width + "×" + width;
    long flops = 2L * rows * width * width;
    long bytes = 2L * (2L * rows * width + (long) width * width);
    for (DType type : new DType[] {DType.F16, DType.Q8, DType.Q4}) {
      test.compare(
          "linear " + type.name().toLowerCase(Locale.ROOT) + ", to its input",
          shape,
          bytes,
          flops,
          ops -> {
            Tensor dOut = tensors.activation(ops, 1, rows, width);
            Tensor weight = tensors.weight(ops, 2, type, width, width);
            Tensor dx = like(ops, rows, width);
            GradOps grads = ops.gradients();
            return new Call(dx, () -> grads.linearBackward(dOut, weight, dx, false));
          });
    }
    test.compare(
        "linear, to its weight",
        shape,
        bytes + 6L * width * width,
        flops,
        ops -> {
          Tensor dOut = tensors.activation(ops, 1, rows, width);
          Tensor x = tensors.activation(ops, 2, rows, width);
          Tensor dWeight = tensors.zeros(ops, width, width);
          Tensor dBias = tensors.zeros(ops, 1, width);
          GradOps grads = ops.gradients();
          return new Call(dWeight, () -> grads.linearWeightBackward(dOut, x, dWeight, dBias));
        });
  }

  private void elements(int rows, int width) {
    String shape = rows + "×" + width;
    long one = 2L * rows * width;
    test.compare(
        "RMS norm, backwards",
        shape,
        3 * one,
        0,
        ops -> {
          Tensor x = tensors.activation(ops, 1, rows, width);
          Tensor dOut = tensors.activation(ops, 2, rows, width);
          Tensor weight = tensors.weight(ops, 3, DType.F16, width);
          Tensor dx = like(ops, rows, width);
          GradOps grads = ops.gradients();
          return new Call(dx, () -> grads.rmsNormBackward(x, weight, 1e-6f, dOut, dx, false));
        });
    test.compare(
        "SiLU times up, backwards",
        shape,
        5 * one,
        0,
        ops -> {
          Tensor gate = tensors.activation(ops, 1, rows, width);
          Tensor up = tensors.activation(ops, 2, rows, width);
          Tensor dOut = tensors.activation(ops, 3, rows, width);
          Tensor dGate = like(ops, rows, width);
          Tensor dUp = like(ops, rows, width);
          GradOps grads = ops.gradients();
          return new Call(dGate, () -> grads.siluMulBackward(gate, up, dOut, dGate, dUp));
        });
    int[] ids = {5, 0, ~2, 7, ~0, 7, ~2};
    test.compare(
        "embedding, to the image rows",
        ids.length + "×" + width,
        8L * width,
        0,
        ops -> {
          Tensor dOut = tensors.activation(ops, 1, ids.length, width);
          Tensor dRows = tensors.activation(ops, 2, 3, width);
          GradOps grads = ops.gradients();
          return new Call(dRows, () -> grads.embedBackward(ids, ids.length, dOut, dRows));
        });
  }

  /** RoPE and causal attention alone, whose kernels depend on the width of heads. */
  void attention(int rows, int heads, int headDim) {
    String shape = heads + "×" + headDim + ", " + rows;
    int width = heads * headDim;
    test.compare(
        "RoPE, backwards",
        shape,
        8L * rows * width,
        0,
        ops -> {
          SelfTestSequence s = new SelfTestSequence(tensors, ops, heads, heads, headDim, rows, 0);
          Tensor dk = tensors.activation(ops, 4, rows, width);
          GradOps grads = ops.gradients();
          return new Call(s.q, () -> grads.ropeBackward(s.q, dk, s.batch, s.frequencies));
        });
    for (String result : new String[] {"queries", "keys", "values"}) {
      test.compare(
          "attention, to its " + result,
          shape,
          16L * rows * width,
          10L * width * rows * (rows / 2 + 1),
          ops -> {
            SelfTestSequence s = new SelfTestSequence(tensors, ops, heads, heads, headDim, rows, 0);
            s.append();
            Tensor dOut = tensors.activation(ops, 4, rows, width);
            Tensor dq = like(ops, rows, width);
            Tensor dk = like(ops, rows, width);
            Tensor dv = like(ops, rows, width);
            GradOps grads = ops.gradients();
            return new Call(
                result.equals("queries") ? dq : result.equals("keys") ? dk : dv,
                () -> grads.causalAttentionBackward(s.q, s.batch, 1, dOut, dq, dk, dv));
          });
    }
  }

  private void loss(int rows, int width, int vocabulary) {
    int[] targets = new int[rows];
    Arrays.setAll(targets, i -> i % 3 == 0 ? -1 : i * 7 % vocabulary);
    test.compare(
        "cross-entropy with the head",
        rows + "×" + vocabulary + "×" + width,
        4L * (rows + vocabulary) * width,
        4L * (rows - (rows + 2) / 3) * width * vocabulary,
        ops -> {
          Tensor x = tensors.activation(ops, 1, rows, width);
          Tensor head = tensors.weight(ops, 2, DType.F16, vocabulary, width);
          Tensor value = ops.allocate(DType.F32, 1);
          Tensor dx = like(ops, rows, width);
          GradOps grads = ops.gradients();
          return new Call(dx, () -> grads.crossEntropy(x, head, targets, 1024, value, dx));
        });
  }

  private void optimizer(int width) {
    test.compare(
        "loss scale taken out",
        String.valueOf((long) width * width),
        8L * width * width,
        0,
        ops -> {
          Tensor gradient = tensors.written(ops, 1, DType.F32, width * (long) width);
          GradOps grads = ops.gradients();
          return new Call(gradient, () -> grads.unscale(gradient, 0.5f));
        });
    test.compare(
        "AdamW",
        String.valueOf((long) width * width),
        28L * width * width,
        0,
        ops -> {
          Tensor weight = tensors.written(ops, 1, DType.F32, width * (long) width);
          Tensor gradient = tensors.written(ops, 2, DType.F32, width * (long) width);
          Tensor m = tensors.zeros(ops, width, width).reshape(width * (long) width);
          Tensor v = tensors.zeros(ops, width, width).reshape(width * (long) width);
          GradOps.AdamWStep step = new GradOps.AdamWStep(1e-3, 0.9, 0.999, 1e-8, 0.05, 1);
          GradOps grads = ops.gradients();
          return new Call(weight, () -> grads.adamW(weight, gradient, m, v, step));
        });
  }
}
