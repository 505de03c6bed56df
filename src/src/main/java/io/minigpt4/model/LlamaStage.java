package io.minigpt4.model;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Consecutive layers of a LLaMA on one device. The first stage has the embedding before its layers,
 * the last one the final norm and the head behind them; a model on one device is one stage.
 */
final class LlamaStage {
  /** Passes of up to so many rows, one a sequence, reuse their buffers and make no garbage. */
  static final int KEPT_ROWS = 16;

  private final LlamaConfig config;
  private final Ops ops;
  private final int firstLayer;
  private final LlamaLayer[] layers;

  /** Of each layer: weights of queries, keys and values, which have the same input. */
  private final List<List<Tensor>> projections = new ArrayList<>();

  /** Of each layer: weights of gate and up, which have the same input. */
  private final List<List<Tensor>> gatesAndUps = new ArrayList<>();

  private final Tensor inverseFrequencies;
  private final @Nullable LlamaBuffers[] kept = new LlamaBuffers[KEPT_ROWS + 1];
  private final @Nullable Tensor[] keptLogits = new Tensor[KEPT_ROWS + 1];
  private @Nullable LlamaBuffers widest;
  private @Nullable Tensor widestLogits;

  /**
   * @param firstLayer the number of {@code layers[0]} in the model
   */
  LlamaStage(LlamaConfig config, Ops ops, int firstLayer, LlamaLayer[] layers) {
    this.config = config;
    this.ops = ops;
    this.firstLayer = firstLayer;
    this.layers = layers;
    this.inverseFrequencies = inverseFrequencies(config, ops);
    for (LlamaLayer layer : layers) {
      projections.add(List.of(layer.query(), layer.key(), layer.value()));
      gatesAndUps.add(List.of(layer.gate(), layer.up()));
    }
  }

  /**
   * θ^(−2i/D) for i &lt; D/2 (Su et al. 2021), divided by the linear scaling factor, which is the
   * same as dividing positions by it (Chen et al. 2023).
   */
  private static Tensor inverseFrequencies(LlamaConfig config, Ops ops) {
    int half = config.headSize() / 2;
    float[] values = new float[half];
    for (int i = 0; i < half; i++) {
      double exponent = 2.0 * i / config.headSize();
      values[i] = (float) (Math.pow(config.ropeTheta(), -exponent) / config.ropeScaling());
    }
    return HostFloats.toDevice(values, ops, half);
  }

  Ops ops() {
    return ops;
  }

  /** The number of this stage's first layer in the model. */
  int firstLayer() {
    return firstLayer;
  }

  int layers() {
    return layers.length;
  }

  /** Type of the weights that make keys and values: F32 if any layer's are. */
  DType cachedWeights() {
    DType type = layers[0].key().dtype();
    for (LlamaLayer layer : layers) {
      if (layer.key().dtype() == DType.F32 || layer.value().dtype() == DType.F32) {
        type = DType.F32;
      }
    }
    return type;
  }

  /** Runs layer {@code i} of this stage; what it adds to the residual stream is left in delta. */
  void layer(int i, Batch batch, LlamaBuffers b) {
    project(i, batch, b);
    attend(i, batch, b);
    feedForward(i, b, isStep(batch));
  }

  /**
   * Whether a pass has one row of each sequence. What a row comes to is then independent of the
   * number of rows, as it is in passes with more of each; but the two ways differ in the last bits.
   */
  private static boolean isStep(Batch batch) {
    return batch.totalRows() == batch.size();
  }

  private void linear(boolean perRow, Tensor x, Tensor weight, Tensor out) {
    if (perRow) {
      ops.linearPerRow(x, weight, null, out);
    } else {
      ops.linear(x, weight, null, out);
    }
  }

  private void linears(boolean perRow, Tensor x, List<Tensor> weights, List<Tensor> outs) {
    if (perRow) {
      ops.linearsPerRow(x, weights, outs);
    } else {
      ops.linears(x, weights, outs);
    }
  }

  /** A layer up to its stored keys and values and rotated queries. */
  void project(int i, Batch batch, LlamaBuffers b) {
    LlamaLayer layer = layers[i];
    if (i == 0) {
      ops.rmsNorm(b.hidden(), layer.inputNorm(), config.rmsNormEps(), b.normed());
    } else {
      ops.addRmsNorm(b.hidden(), b.delta(), layer.inputNorm(), config.rmsNormEps(), b.normed());
    }
    linears(isStep(batch), b.normed(), projections.get(i), b.projected());
    ops.ropeAppend(b.query(), b.key(), b.value(), batch, firstLayer + i, inverseFrequencies);
  }

  void attend(int i, Batch batch, LlamaBuffers b) {
    ops.causalAttention(b.query(), batch, firstLayer + i, b.attended());
  }

  /**
   * The rest of a layer.
   *
   * @param perRow whether the rows are of different sequences
   */
  void feedForward(int i, LlamaBuffers b, boolean perRow) {
    LlamaLayer layer = layers[i];
    linear(perRow, b.attended(), layer.output(), b.delta());
    ops.addRmsNorm(b.hidden(), b.delta(), layer.postNorm(), config.rmsNormEps(), b.normed());
    linears(perRow, b.normed(), gatesAndUps.get(i), b.gateAndUp());
    ops.siluMul(b.gate(), b.up(), b.gate());
    linear(perRow, b.gate(), layer.down(), b.delta());
  }

  /** The rows at {@code indices}, in new buffers, ready for {@link #feedForward}. */
  LlamaBuffers only(LlamaBuffers b, int[] indices, int count) {
    LlamaBuffers end = LlamaBuffers.take(ops.workspace()::take, ops.activation(), config, count);
    ops.gather(b.hidden(), indices, count, end.hidden());
    ops.gather(b.attended(), indices, count, end.attended());
    return end;
  }

  /** Activations for a pass: kept ones for few rows, else from the workspace. */
  LlamaBuffers buffers(int rows) {
    if (rows > KEPT_ROWS) {
      return LlamaBuffers.take(ops.workspace()::take, ops.activation(), config, rows);
    }
    LlamaBuffers found = kept[rows];
    if (found == null) {
      if (widest == null) {
        widest = LlamaBuffers.take(ops::allocate, ops.activation(), config, KEPT_ROWS);
      }
      found = widest.first(rows);
      kept[rows] = found;
    }
    return found;
  }

  /** Memory for scores, [rows, vocabSize] F32. */
  Tensor logits(int rows) {
    if (rows > KEPT_ROWS) {
      return ops.workspace().take(DType.F32, rows, config.vocabSize());
    }
    Tensor found = keptLogits[rows];
    if (found == null) {
      if (widestLogits == null) {
        widestLogits = ops.allocate(DType.F32, KEPT_ROWS, config.vocabSize());
      }
      found = widestLogits.slice(0, rows);
      keptLogits[rows] = found;
    }
    return found;
  }
}
