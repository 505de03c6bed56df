package io.minigpt4.cpu;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.GradOpsArguments;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * {@link GradOps} on the processor, with the kernels and the threads of {@link CpuOps}. This class
 * checks arguments; what it calls works on raw addresses.
 */
final class CpuGradOps implements GradOps, AutoCloseable {
  /** Logits that exist at once: 64 MB of them. */
  private static final long LOGITS = 1L << 24;

  private static final int MOST_LOGIT_ROWS = 768;

  /** Columns of an operand that are transposed at a time. */
  private static final int TRANSPOSED_COLUMNS = 64;

  private final GradOpsArguments arguments = new GradOpsArguments(DType.F32);
  private final Kernels kernels;
  private final Linear linear;
  private final Rope rope;
  private final AttentionBackward attention;
  private final GradRows rows;
  private final CrossEntropy crossEntropy;
  private final Scratch normWeight = new Scratch();
  private final Scratch transposed = new Scratch();
  private final Scratch gathered = new Scratch();
  private final Scratch logits = new Scratch();
  private final Buffer staging = new Buffer(0);

  /**
   * @param linear the products of {@link CpuOps}, shared for their buffers
   * @param rope its rotations, shared for their table
   */
  CpuGradOps(Kernels kernels, Team team, Linear linear, Rope rope) {
    this.kernels = kernels;
    this.linear = linear;
    this.rope = rope;
    this.attention = new AttentionBackward(kernels, team);
    this.rows = new GradRows(kernels, team);
    this.crossEntropy = new CrossEntropy(kernels, team);
  }

  private static GradRows.Rows rows(Tensor tensor) {
    return new GradRows.Rows(Checks.address(tensor), tensor.rowStride());
  }

  @Override
  public void linearBackward(Tensor dOut, Tensor weight, Tensor dx, boolean accumulate) {
    arguments.linearBackward(dOut, weight, dx);
    product(Checks.address(dOut), dOut.rowStride(), dOut.rows(), weight, rows(dx), accumulate);
  }

  /** to (+)= x · w. */
  private void product(
      long x, long xStride, long m, Tensor w, GradRows.Rows to, boolean accumulate) {
    int depth = Math.toIntExact(w.rows());
    int columns = Math.toIntExact(w.width());
    linear.transposedWeights(w, depth, columns, accumulate);
    linear.run(x, xStride, Math.toIntExact(m), false, to.at(), to.stride());
  }

  @Override
  public void linearWeightBackward(Tensor dOut, Tensor x, Tensor dWeight, @Nullable Tensor dBias) {
    arguments.linearWeightBackward(dOut, x, dWeight, dBias);
    int m = Math.toIntExact(x.rows());
    int n = Math.toIntExact(dOut.width());
    long from = Checks.address(dOut);
    long turned = transposed.floats((long) n * m);
    float[] part = staging.floats((long) TRANSPOSED_COLUMNS * m);
    for (int c = 0; c < n; c += TRANSPOSED_COLUMNS) {
      int columns = Math.min(TRANSPOSED_COLUMNS, n - c);
      kernels.pack(from + 4L * c, dOut.rowStride(), m, columns, part, Buffer.START, m);
      long to = turned + 4L * c * m;
      kernels.fromFloats(DType.F32, part, Buffer.START, to, columns * m);
    }
    product(turned, m, n, x.reshape(m, x.width()), rows(dWeight), true);
    if (dBias != null) {
      for (int i = 0; i < m; i++) {
        kernels.add(Checks.address(dBias), from + 4L * i * dOut.rowStride(), n);
      }
    }
  }

  @Override
  public void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor dOut, Tensor dx, boolean accumulate) {
    arguments.rmsNormBackward(x, weight, dOut, dx);
    int width = Math.toIntExact(x.width());
    long floats = Checks.address(weight);
    if (weight.dtype() != DType.F32) {
      float[] row = staging.floats(width);
      kernels.toFloats(weight.dtype(), floats, row, Buffer.START, width);
      floats = normWeight.floats(width);
      kernels.fromFloats(DType.F32, row, Buffer.START, floats, width);
    }
    int m = Math.toIntExact(x.rows());
    rows.rmsNorm(rows(x), floats, eps, rows(dOut), rows(dx), accumulate, m, width);
  }

  @Override
  public void siluMulBackward(Tensor gate, Tensor up, Tensor dOut, Tensor dGate, Tensor dUp) {
    arguments.siluMulBackward(gate, up, dOut, dGate, dUp);
    rows.siluMul(
        rows(gate),
        rows(up),
        rows(dOut),
        rows(dGate),
        rows(dUp),
        Math.toIntExact(gate.rows()),
        Math.toIntExact(gate.width()));
  }

  @Override
  public void ropeBackward(Tensor dq, Tensor dk, Batch batch, Tensor inverseFrequencies) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.ropeBackward(dq, dk, batch, inverseFrequencies);
    int heads = (int) (dq.width() / pool.headDim());
    rope.queries(Checks.address(dq), dq.rowStride(), heads, pool.headDim());
    rope.keysAndValues(Checks.address(dk), dk.rowStride(), 0, 0, pool.kvHeads());
    rope.runBackward(batch, Checks.address(inverseFrequencies));
  }

  @Override
  public void causalAttentionBackward(
      Tensor q, Batch batch, int layer, Tensor dOut, Tensor dq, Tensor dk, Tensor dv) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.causalAttentionBackward(q, batch, layer, dOut, dq, dk, dv);
    attention.queries(
        Checks.address(q),
        q.rowStride(),
        (int) (q.width() / pool.headDim()),
        pool.headDim(),
        Checks.address(dOut),
        dOut.rowStride());
    attention.results(
        Checks.address(dq),
        dq.rowStride(),
        Checks.address(dk),
        dk.rowStride(),
        Checks.address(dv),
        dv.rowStride());
    attention.run(batch, layer);
  }

  @Override
  public void embedBackward(int[] ids, int count, Tensor dOut, Tensor dImageRows) {
    arguments.embedBackward(ids, count, dOut, dImageRows);
    int width = Math.toIntExact(dOut.width());
    for (int i = 0; i < count; i++) {
      if (ids[i] < 0) {
        kernels.add(rows(dImageRows).row(~ids[i]), rows(dOut).row(i), width);
      }
    }
  }

  @Override
  public void crossEntropy(
      Tensor x, Tensor weight, int[] targets, float scale, Tensor loss, Tensor dx) {
    int count = arguments.crossEntropy(x, weight, targets, loss, dx);
    int m = Math.toIntExact(x.rows());
    int vocabulary = Math.toIntExact(weight.rows());
    int[] wanted = new int[count];
    int[] places = new int[count];
    for (int i = 0, found = 0; i < m; i++) {
      if (targets[i] >= 0) {
        wanted[found] = targets[i];
        places[found++] = i;
      }
    }
    Memory.fill(Checks.address(dx), dx.elements(), 0);
    int most = Math.clamp(LOGITS / vocabulary, 1, MOST_LOGIT_ROWS);
    double sum = 0;
    for (int first = 0; first < count; first += most) {
      int part = Math.min(most, count - first);
      int[] of = Arrays.copyOfRange(places, first, first + part);
      sum += stretch(x, weight, wanted, of, first, scale / count, dx);
    }
    Memory.setFloat(Checks.address(loss), (float) (sum / count));
  }

  /** Some rows of {@link #crossEntropy}; returns the sum of their losses. */
  private double stretch(
      Tensor x, Tensor weight, int[] targets, int[] places, int first, float scale, Tensor dx) {
    int width = Math.toIntExact(x.width());
    int vocabulary = Math.toIntExact(weight.rows());
    int count = places.length;
    long part = gathered.floats((long) count * width);
    for (int i = 0; i < count; i++) {
      Memory.copy(rows(x).row(places[i]), part + 4L * i * width, 4L * width);
    }
    long scores = logits.floats((long) count * vocabulary);
    linear.weights(weight, vocabulary, width, 0);
    linear.run(part, width, count, false, scores, vocabulary);
    double sum = crossEntropy.run(scores, vocabulary, targets, first, count, scale);
    product(scores, vocabulary, count, weight, new GradRows.Rows(part, width), false);
    for (int i = 0; i < count; i++) {
      Memory.copy(part + 4L * i * width, rows(dx).row(places[i]), 4L * width);
    }
    return sum;
  }

  @Override
  public boolean unscale(Tensor gradient, float factor) {
    GradOpsArguments.unscale(gradient);
    int n = Math.toIntExact(gradient.elements());
    return kernels.gradients().scaleFinite(Checks.address(gradient), factor, n);
  }

  @Override
  public void adamW(Tensor weight, Tensor gradient, Tensor m, Tensor v, AdamWStep step) {
    GradOpsArguments.adamW(weight, gradient, m, v);
    GradKernels.AdamWFactors factors =
        new GradKernels.AdamWFactors(
            step.decay(),
            (float) (1 - step.beta1()),
            (float) step.beta2(),
            (float) (1 - step.beta2()),
            step.rootCorrection(),
            (float) step.epsilon(),
            step.stepSize());
    rows.adamW(
        Checks.address(weight),
        Checks.address(gradient),
        Checks.address(m),
        Checks.address(v),
        factors,
        weight.elements());
  }

  @Override
  public void close() {
    attention.close();
    normWeight.close();
    transposed.close();
    gathered.close();
    logits.close();
  }
}
