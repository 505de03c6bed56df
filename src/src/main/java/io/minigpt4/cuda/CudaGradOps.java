package io.minigpt4.cuda;

import io.minigpt4.kernels.AttentionBackward;
import io.minigpt4.kernels.Backward;
import io.minigpt4.kernels.Element;
import io.minigpt4.kernels.Embedding;
import io.minigpt4.kernels.Gemv;
import io.minigpt4.kernels.Training;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.GradOps;
import io.minigpt4.tensor.GradOpsArguments;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.OpsArguments;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * {@link GradOps} on an NVIDIA GPU: gradients of activations in float16, those of trainable tensors
 * and the optimizer in float32, all on the device. Matrix products are cuBLASLt's. Only {@link
 * #unscale} waits. Sums are taken in the same order every time.
 *
 * <p>A gradient that float16 cannot hold becomes infinite and so do those behind it, which {@link
 * #unscale} tells: a loss scale that is too large is found out there.
 */
final class CudaGradOps implements GradOps {
  /** Logits that exist at once: 64 MB of them, and half as much for their slopes. */
  private static final long LOGITS = 1L << 24;

  private final CudaDevice device;
  private final Workspace workspace;
  private final StepInputs inputs;
  private final LinearLayers layers;
  private final Embedding embedding;
  private final Backward backward;
  private final AttentionBackward attention;
  private final Training training;
  private final MemorySegment flag;
  private final MemorySegment flagOnHost;
  private final GradOpsArguments arguments = new GradOpsArguments(DType.F16);

  /** With the workspace, the inputs and the layers of {@link CudaOps}, whose calls they order. */
  CudaGradOps(
      CudaDevice device,
      Workspace workspace,
      StepInputs inputs,
      LinearLayers layers,
      Embedding embedding) {
    this.device = device;
    this.workspace = workspace;
    this.inputs = inputs;
    this.layers = layers;
    this.embedding = embedding;
    this.backward = new Backward(device.kernels());
    this.attention = new AttentionBackward(device.kernels());
    this.training = new Training(device.kernels());
    this.flag = device.allocate(Integer.BYTES);
    this.flagOnHost = device.allocatePinned(Integer.BYTES);
  }

  private long address(Tensor tensor) {
    return device.address(tensor);
  }

  private AttentionBackward.Rows rows(Tensor tensor) {
    return new AttentionBackward.Rows(address(tensor), tensor.rowStride());
  }

  @Override
  public void linearBackward(Tensor dOut, Tensor weight, Tensor dx, boolean accumulate) {
    arguments.linearBackward(dOut, weight, dx);
    layers.backward(dOut, weight, dx, accumulate);
  }

  @Override
  public void linearWeightBackward(Tensor dOut, Tensor x, Tensor dWeight, @Nullable Tensor dBias) {
    arguments.linearWeightBackward(dOut, x, dWeight, dBias);
    layers.weightBackward(dOut, x, dWeight);
    if (dBias != null) {
      backward.columnSums(
          device.stream(),
          address(dOut),
          dOut.rowStride(),
          Math.toIntExact(dOut.rows()),
          Math.toIntExact(dOut.width()),
          address(dBias));
    }
  }

  @Override
  public void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor dOut, Tensor dx, boolean accumulate) {
    arguments.rmsNormBackward(x, weight, dOut, dx);
    OpsArguments.dense(x, "x");
    OpsArguments.dense(dOut, "dOut");
    OpsArguments.dense(dx, "dx");
    device.enter();
    backward.rmsNorm(
        device.stream(),
        address(x),
        address(weight),
        LinearLayers.element(weight),
        eps,
        address(dOut),
        address(dx),
        accumulate,
        x.rows(),
        Math.toIntExact(x.width()));
  }

  @Override
  public void siluMulBackward(Tensor gate, Tensor up, Tensor dOut, Tensor dGate, Tensor dUp) {
    arguments.siluMulBackward(gate, up, dOut, dGate, dUp);
    device.enter();
    backward.siluMul(
        device.stream(),
        address(gate),
        gate.rowStride(),
        address(up),
        up.rowStride(),
        address(dOut),
        dOut.rowStride(),
        address(dGate),
        dGate.rowStride(),
        address(dUp),
        dUp.rowStride(),
        gate.rows(),
        Math.toIntExact(gate.width()));
  }

  @Override
  public void ropeBackward(Tensor dq, Tensor dk, Batch batch, Tensor inverseFrequencies) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.ropeBackward(dq, dk, batch, inverseFrequencies);
    device.enter();
    stage(batch, 0);
    backward.rope(
        device.stream(),
        address(dq),
        dq.rowStride(),
        address(dk),
        dk.rowStride(),
        dq.rows(),
        inputs.sequences(),
        batch.size(),
        address(inverseFrequencies),
        (int) (dq.width() / pool.headDim()),
        pool.kvHeads(),
        pool.headDim());
  }

  private void stage(Batch batch, int layer) {
    inputs.batch(batch, layer);
    inputs.send();
  }

  @Override
  public void causalAttentionBackward(
      Tensor q, Batch batch, int layer, Tensor dOut, Tensor dq, Tensor dk, Tensor dv) {
    if (batch.size() == 0) {
      return;
    }
    KvCache.Pool pool = arguments.causalAttentionBackward(q, batch, layer, dOut, dq, dk, dv);
    device.enter();
    stage(batch, layer);
    int heads = (int) (q.width() / pool.headDim());
    int all = batch.totalRows();
    int longest = 0;
    for (int i = 0; i < batch.size(); i++) {
      longest = Math.max(longest, batch.rows(i));
    }
    long mark = workspace.mark();
    long bytes = AttentionBackward.statisticsBytes(all, heads);
    Tensor statistics = workspace.take(DType.F32, bytes / Float.BYTES);
    attention.launch(
        device.stream(),
        rows(q),
        rows(dOut),
        rows(dq),
        rows(dk),
        rows(dv),
        inputs.sequences(),
        batch.size(),
        inputs.pages(),
        pool.placeOfLayer(layer),
        statistics.address(),
        all,
        longest,
        heads,
        pool.kvHeads(),
        pool.headDim());
    workspace.release(mark);
  }

  @Override
  public void embedBackward(int[] ids, int count, Tensor dOut, Tensor dImageRows) {
    arguments.embedBackward(ids, count, dOut, dImageRows);
    OpsArguments.dense(dOut, "dOut");
    OpsArguments.dense(dImageRows, "dImageRows");
    int images = Math.toIntExact(dImageRows.rows());
    // Which rows an image row was read by: starts of its places, then the places.
    int[] table = new int[images + 1 + count];
    for (int i = 0; i < count; i++) {
      if (ids[i] < 0) {
        table[~ids[i] + 1]++;
      }
    }
    for (int r = 0; r < images; r++) {
      table[r + 1] += table[r];
    }
    int[] next = Arrays.copyOf(table, images);
    for (int i = 0; i < count; i++) {
      if (ids[i] < 0) {
        table[images + 1 + next[~ids[i]]++] = i;
      }
    }
    device.enter();
    inputs.ids(table, table.length);
    inputs.send();
    collect(dOut, 0, images, dImageRows, true);
  }

  /** By a table of starts and places that begins at some of the inputs' ids. */
  private void collect(Tensor from, int at, int rows, Tensor to, boolean accumulate) {
    long starts = inputs.ids() + (long) at * Integer.BYTES;
    backward.collectRows(
        device.stream(),
        address(from),
        starts,
        starts + (rows + 1L) * Integer.BYTES,
        address(to),
        accumulate,
        rows,
        Math.toIntExact(to.width()));
  }

  @Override
  public void crossEntropy(
      Tensor x, Tensor weight, int[] targets, float scale, Tensor loss, Tensor dx) {
    int count = arguments.crossEntropy(x, weight, targets, loss, dx);
    int m = Math.toIntExact(x.rows());
    int width = Math.toIntExact(x.width());
    device.enter();
    // Rows that count, their targets, and the way back: row r of dx is row starts[r] of theirs.
    int[] table = new int[3 * count + m + 1];
    for (int i = 0, found = 0; i < m; i++) {
      if (targets[i] >= 0) {
        table[found] = i;
        table[count + found] = targets[i];
        table[2 * count + m + 1 + found] = found;
        found++;
      }
      table[2 * count + i + 1] = found;
    }
    inputs.ids(table, table.length);
    inputs.send();
    long mark = workspace.mark();
    Tensor counted = workspace.take(DType.F16, count, width);
    Tensor slopes = workspace.take(DType.F16, count, width);
    Tensor losses = workspace.take(DType.F32, count);
    embedding.gather(
        device.stream(), Element.F16, address(x), m, inputs.ids(), count, counted.address(), width);
    int most = Math.clamp(LOGITS / weight.rows(), 1, count);
    for (int first = 0; first < count; first += most) {
      int end = Math.min(count, first + most);
      stretch(counted.slice(first, end), weight, count, first, scale, losses, slopes);
    }
    training.mean(device.stream(), losses.address(), count, address(loss));
    collect(slopes, 2 * count, m, dx, false);
    workspace.release(mark);
  }

  /** Some rows of {@link #crossEntropy}. */
  private void stretch(
      Tensor x, Tensor head, int count, int first, float scale, Tensor losses, Tensor dx) {
    long mark = workspace.mark();
    Tensor logits = workspace.take(DType.F32, x.rows(), head.rows());
    Tensor slopes = workspace.take(DType.F16, x.rows(), head.rows());
    layers.run(x, head, null, Gemv.Activation.NONE, logits);
    training.crossEntropy(
        device.stream(),
        logits.address(),
        inputs.ids() + (long) (count + first) * Integer.BYTES,
        scale / count,
        losses.address() + (long) first * Float.BYTES,
        slopes.address(),
        x.rows(),
        Math.toIntExact(head.rows()));
    layers.backward(slopes, head, dx.slice(first, first + x.rows()), false);
    workspace.release(mark);
  }

  @Override
  public boolean unscale(Tensor gradient, float factor) {
    GradOpsArguments.unscale(gradient);
    device.enter();
    long stream = device.stream();
    device.libraries().driver().fill(flag.address(), (byte) 0, Integer.BYTES, stream);
    training.unscale(stream, address(gradient), factor, gradient.elements(), flag.address());
    device.libraries().driver().copyToHost(flagOnHost, flag.address(), stream);
    device.synchronize();
    return flagOnHost.get(ValueLayout.JAVA_INT, 0) == 0;
  }

  @Override
  public void adamW(Tensor weight, Tensor gradient, Tensor m, Tensor v, AdamWStep step) {
    GradOpsArguments.adamW(weight, gradient, m, v);
    device.enter();
    training.adamW(
        device.stream(),
        address(weight),
        address(gradient),
        address(m),
        address(v),
        new Training.AdamW(
            step.decay(),
            (float) (1 - step.beta1()),
            (float) step.beta2(),
            (float) (1 - step.beta2()),
            step.rootCorrection(),
            (float) step.epsilon(),
            step.stepSize()),
        weight.elements());
  }
}
