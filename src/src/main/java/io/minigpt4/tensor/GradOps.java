package io.minigpt4.tensor;

import org.jspecify.annotations.Nullable;

/**
 * What training needs of a device beside {@link Ops}: the derivatives of the operations that lie
 * between the loss and the projection, the loss itself, and the optimizer's step. Made by {@link
 * Ops#gradients} and bound to that device's memory, threads and order of calls.
 *
 * <p>{@code dT} is the gradient of the loss with respect to tensor T, of T's shape and of the
 * activation type; gradients of trainable tensors and the optimizer's state are float32. Weights
 * other than the projection's are frozen and get no gradient. Matrices are dense unless said
 * otherwise.
 *
 * <p>Shape or type mismatches throw {@link IllegalArgumentException} that names both sides. Not
 * safe for use by several threads.
 */
public interface GradOps {
  /**
   * Through out = x · weightᵀ to its input: dx = dOut · weight, or dx += dOut · weight.
   *
   * @param dOut [M, N], rows may be strided
   * @param weight [N, K] in any weight type
   * @param dx [M, K], rows may be strided
   * @param accumulate whether to add to what dx holds
   */
  void linearBackward(Tensor dOut, Tensor weight, Tensor dx, boolean accumulate);

  /**
   * Through out = x · weightᵀ + bias to its parameters: dWeight += dOutᵀ · x, dBias += Σ rows of
   * dOut.
   *
   * @param dOut [M, N]
   * @param x [M, K]
   * @param dWeight [N, K] F32
   * @param dBias [N] F32, or null
   */
  void linearWeightBackward(Tensor dOut, Tensor x, Tensor dWeight, @Nullable Tensor dBias);

  /**
   * Through {@link Ops#rmsNorm}. With r = 1 / sqrt(mean(x²) + eps) per row: dx (+)= r · (weight ·
   * dOut) − x · r³ · mean(weight · dOut · x).
   *
   * @param x [M, W], the norm's input
   * @param accumulate whether to add to what dx holds
   */
  void rmsNormBackward(
      Tensor x, Tensor weight, float eps, Tensor dOut, Tensor dx, boolean accumulate);

  /**
   * Through out = silu(gate) · up. With s = 1 / (1 + e^−gate): dUp = dOut · gate · s, dGate = dOut
   * · up · s · (1 + gate · (1 − s)).
   *
   * @param dGate may be dOut
   */
  void siluMulBackward(Tensor gate, Tensor up, Tensor dOut, Tensor dGate, Tensor dUp);

  /**
   * Through the rotation of {@link Ops#ropeAppend}: turns gradients of rotated queries and keys
   * back by the same angles, in place.
   *
   * @param dq [M, heads·D]
   * @param dk [M, kvHeads·D]
   * @param batch as in the forward pass, not committed since
   */
  void ropeBackward(Tensor dq, Tensor dk, Batch batch, Tensor inverseFrequencies);

  /**
   * Through {@link Ops#causalAttention}, scores computed anew from the queries and the cached keys
   * (Dao et al. 2022): with P the probabilities, dV = Pᵀ dOut, dS = P ∘ (dOut Vᵀ − Σ P ∘ dOut Vᵀ),
   * dQ = scale · dS K, dK = scale · dSᵀ Q. Query heads that share a key head add up.
   *
   * @param q [M, heads·D], the rotated queries
   * @param batch as in the forward pass, not committed since; every sequence must start in it
   *     (nothing cached before), because gradients do not reach earlier passes
   * @param dOut [M, heads·D]
   * @param dq [M, heads·D], written
   * @param dk [M, kvHeads·D], written: gradients of the rotated keys
   * @param dv [M, kvHeads·D], written
   * @throws IllegalArgumentException if a sequence has cached tokens from before
   */
  void causalAttentionBackward(
      Tensor q, Batch batch, int layer, Tensor dOut, Tensor dq, Tensor dk, Tensor dv);

  /**
   * Through {@link Ops#embed} to the image rows: dImageRows[~ids[i]] += dOut[i] where ids[i] &lt;
   * 0. The table is frozen.
   */
  void embedBackward(int[] ids, int count, Tensor dOut, Tensor dImageRows);

  /**
   * The language model's head and its loss in one, a stretch of rows at a time, so that the logits
   * of all rows never exist at once: loss = mean over the rows with a target of −log softmax(x ·
   * weightᵀ)[target], and dx = scale · ∂loss/∂x.
   *
   * @param x [M, H]
   * @param weight [vocab, H] in any weight type
   * @param targets [≥ M] the token that row i should predict; negative for rows that do not count,
   *     whose dx is 0
   * @param scale loss scale, 1 for none
   * @param loss [1] F32, written (not scaled)
   * @param dx [M, H], written
   * @throws IllegalArgumentException if no row has a target or a target is not in the vocabulary
   */
  void crossEntropy(Tensor x, Tensor weight, int[] targets, float scale, Tensor loss, Tensor dx);

  /**
   * gradient *= factor, in place; waits for the result.
   *
   * @param gradient F32
   * @return whether all elements are finite
   */
  boolean unscale(Tensor gradient, float factor);

  /**
   * One step of AdamW (Loshchilov and Hutter 2019) on one tensor, in PyTorch's order of arithmetic.
   *
   * @param weight F32, updated
   * @param gradient F32
   * @param m F32 first moment, updated
   * @param v F32 second moment, updated
   */
  void adamW(Tensor weight, Tensor gradient, Tensor m, Tensor v, AdamWStep step);

  /**
   * The numbers of one AdamW step.
   *
   * @param learningRate ≥ 0
   * @param weightDecay decoupled; weights shrink by learningRate · weightDecay
   * @param step counted from 1
   */
  record AdamWStep(
      double learningRate,
      double beta1,
      double beta2,
      double epsilon,
      double weightDecay,
      long step) {
    /** What weights are multiplied by first: 1 − learningRate · weightDecay. */
    public float decay() {
      return (float) (1 - learningRate * weightDecay);
    }

    /** learningRate / (1 − beta1^step). */
    public float stepSize() {
      return (float) (learningRate / (1 - Math.pow(beta1, (double) step)));
    }

    /** sqrt(1 − beta2^step), which the root of the second moment is divided by. */
    public float rootCorrection() {
      return (float) Math.sqrt(1 - Math.pow(beta2, (double) step));
    }
  }
}
