package io.minigpt4.tensor;

import org.jspecify.annotations.Nullable;

/**
 * What {@link GradOps} demands of its arguments, the same on every device. A mismatch throws {@link
 * IllegalArgumentException} that names both sides.
 */
public final class GradOpsArguments {
  private final OpsArguments arguments;

  /**
   * @param activation the device's type of activations
   */
  public GradOpsArguments(DType activation) {
    this.arguments = new OpsArguments(activation);
  }

  /** Of {@link GradOps#linearBackward}. */
  public void linearBackward(Tensor dOut, Tensor weight, Tensor dx) {
    arguments.activation(dOut, "dOut");
    arguments.activation(dx, "dx");
    if (!weight.dtype().isQuantised()) {
      OpsArguments.weight(weight, "weight");
    }
    if (weight.rows() != dOut.width() || weight.width() != dx.width() || dOut.rows() != dx.rows()) {
      throw new IllegalArgumentException(
          "linearBackward: dOut " + dOut + " and weight " + weight + " do not give dx " + dx);
    }
  }

  /** Of {@link GradOps#linearWeightBackward}. */
  public void linearWeightBackward(Tensor dOut, Tensor x, Tensor dWeight, @Nullable Tensor dBias) {
    arguments.activation(dOut, "dOut");
    arguments.activation(x, "x");
    OpsArguments.dense(x, "x");
    OpsArguments.floats(dWeight, "dWeight");
    OpsArguments.dense(dWeight, "dWeight");
    if (dOut.rows() != x.rows() || dWeight.rows() != dOut.width() || dWeight.width() != x.width()) {
      throw new IllegalArgumentException(
          "linearWeightBackward: dOut " + dOut + " and x " + x + " do not give dWeight " + dWeight);
    }
    if (dBias != null) {
      OpsArguments.floats(dBias, "dBias");
      OpsArguments.vector(dBias, dOut.width(), "dBias");
    }
  }

  /** Of {@link GradOps#rmsNormBackward}. */
  public void rmsNormBackward(Tensor x, Tensor weight, Tensor dOut, Tensor dx) {
    arguments.sameRows(x, dOut, "dOut");
    arguments.sameRows(x, dx, "dx");
    OpsArguments.vector(weight, x.width(), "weight");
  }

  /** Of {@link GradOps#siluMulBackward}. */
  public void siluMulBackward(Tensor gate, Tensor up, Tensor dOut, Tensor dGate, Tensor dUp) {
    arguments.sameRows(gate, up, "up");
    arguments.sameRows(gate, dOut, "dOut");
    arguments.sameRows(gate, dGate, "dGate");
    arguments.sameRows(gate, dUp, "dUp");
  }

  /** Of {@link GradOps#ropeBackward}; returns the caches' pool. */
  public KvCache.Pool ropeBackward(Tensor dq, Tensor dk, Batch batch, Tensor inverseFrequencies) {
    KvCache.Pool pool = arguments.pool(batch, dq, 0);
    keyRows(dk, batch, pool, "dk");
    OpsArguments.floats(inverseFrequencies, "inverseFrequencies");
    OpsArguments.vector(inverseFrequencies, pool.headDim() / 2, "inverseFrequencies");
    return pool;
  }

  /** Of {@link GradOps#causalAttentionBackward}; returns the caches' pool. */
  public KvCache.Pool causalAttentionBackward(
      Tensor q, Batch batch, int layer, Tensor dOut, Tensor dq, Tensor dk, Tensor dv) {
    KvCache.Pool pool = arguments.pool(batch, q, layer);
    arguments.sameRows(q, dOut, "dOut");
    arguments.sameRows(q, dq, "dq");
    keyRows(dk, batch, pool, "dk");
    keyRows(dv, batch, pool, "dv");
    for (int i = 0; i < batch.size(); i++) {
      if (batch.past(i) != 0) {
        throw new IllegalArgumentException(
            "sequence " + i + " has " + batch.past(i) + " tokens that no gradient can reach");
      }
    }
    return pool;
  }

  private void keyRows(Tensor tensor, Batch batch, KvCache.Pool pool, String name) {
    arguments.activation(tensor, name);
    if (tensor.rows() != batch.totalRows()
        || tensor.width() != (long) pool.kvHeads() * pool.headDim()) {
      throw new IllegalArgumentException(
          name
              + " "
              + tensor
              + " does not have the batch's "
              + batch.totalRows()
              + " rows of "
              + pool.kvHeads()
              + " × "
              + pool.headDim());
    }
  }

  /** Of {@link GradOps#embedBackward}, every id included. */
  public void embedBackward(int[] ids, int count, Tensor dOut, Tensor dImageRows) {
    arguments.activation(dOut, "dOut");
    arguments.activation(dImageRows, "dImageRows");
    if (dOut.width() != dImageRows.width() || dOut.rows() < count || count > ids.length) {
      throw new IllegalArgumentException(
          "embedBackward: " + count + " rows of " + dOut + " do not fit " + dImageRows);
    }
    for (int i = 0; i < count; i++) {
      if (ids[i] < 0 && ~ids[i] >= dImageRows.rows()) {
        throw new IndexOutOfBoundsException("image row " + ~ids[i] + " of " + dImageRows);
      }
    }
  }

  /** Of {@link GradOps#crossEntropy}, every target included; returns how many rows have one. */
  public int crossEntropy(Tensor x, Tensor weight, int[] targets, Tensor loss, Tensor dx) {
    arguments.sameRows(x, dx, "dx");
    OpsArguments.dense(x, "x");
    OpsArguments.dense(dx, "dx");
    if (!weight.dtype().isQuantised()) {
      OpsArguments.weight(weight, "weight");
    }
    OpsArguments.floats(loss, "loss");
    OpsArguments.vector(loss, 1, "loss");
    if (weight.width() != x.width() || targets.length < x.rows()) {
      throw new IllegalArgumentException(
          "crossEntropy: x "
              + x
              + ", weight "
              + weight
              + " and "
              + targets.length
              + " targets do not fit");
    }
    int count = 0;
    for (int i = 0; i < x.rows(); i++) {
      if (targets[i] >= weight.rows()) {
        throw new IllegalArgumentException("target " + targets[i] + " of " + weight);
      }
      count += targets[i] >= 0 ? 1 : 0;
    }
    if (count == 0) {
      throw new IllegalArgumentException("crossEntropy: no row has a target");
    }
    return count;
  }

  /** Of {@link GradOps#unscale}. */
  public static void unscale(Tensor gradient) {
    OpsArguments.floats(gradient, "gradient");
    OpsArguments.dense(gradient, "gradient");
  }

  /** Of {@link GradOps#adamW}. */
  public static void adamW(Tensor weight, Tensor gradient, Tensor m, Tensor v) {
    for (Tensor tensor : new Tensor[] {weight, gradient, m, v}) {
      OpsArguments.floats(tensor, "an operand of adamW");
      OpsArguments.vector(tensor, weight.elements(), "an operand of adamW");
    }
  }
}
