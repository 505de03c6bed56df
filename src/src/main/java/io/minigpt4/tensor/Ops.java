package io.minigpt4.tensor;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * The operations that models are written in; a device implements them, the tape of training wraps
 * them. Matrices are [rows, width] with rows possibly strided where said; tensors of higher rank
 * count as rows × last dimension. Outputs are given by the caller. Activations are of type {@link
 * #activation}; weights may be F32, F16 or BF16 in any mix. Norms, softmax, RoPE angles and all
 * accumulation are in float32 whatever the types.
 *
 * <p>Shape or type mismatches throw {@link IllegalArgumentException} that names both sides. Calls
 * are ordered; on an asynchronous device only {@link #read} waits. Not safe for use by several
 * threads.
 */
public interface Ops extends AutoCloseable {
  /** What a person calls this device, e.g. {@code cpu, 2 threads, AVX-512}. */
  String device();

  /** Element type of activations: F32 on the CPU. */
  DType activation();

  /**
   * Element type in which keys and values are kept.
   *
   * @param weights type of the weights that make them
   */
  default DType cacheType(DType weights) {
    return activation();
  }

  /** Memory for activations. */
  Workspace workspace();

  // ---- memory

  /** Long-lived uninitialised memory, released with this object. */
  Tensor allocate(DType dtype, long... shape);

  /**
   * Makes a weight in host memory usable by this device. The CPU takes it as it lies, mapped file
   * or not; the caller keeps the memory alive as long as the model.
   */
  Tensor load(Tensor host);

  /**
   * Says that {@link #load} will be given a model's weights.
   *
   * @param progress hears, while they are copied, of each how many bytes of host memory it took
   * @return whether {@link #load} copies; false where weights are used as they lie, and nothing
   *     will be heard
   */
  default boolean expectWeights(LongConsumer progress) {
    return false;
  }

  /** This device's own memory now; null where it computes in the host's. */
  default @Nullable DeviceMemory memory() {
    return null;
  }

  /** Copies elements; same type and count, both dense. */
  void copy(Tensor from, Tensor to);

  /**
   * Fills a tensor from host floats, converting to its type. {@code from} holds {@code
   * to.elements()} floats.
   */
  void write(MemorySegment from, Tensor to);

  /**
   * Waits, then copies a tensor to host memory as floats; {@code to} holds {@code from.elements()}
   * floats.
   */
  void read(Tensor from, MemorySegment to);

  // ---- linear layers; x [M, K] (rows may be strided), weight [N, K] dense or quantised, bias [N],
  // out [M, N] (rows may be strided) of the activation type or F32

  /**
   * out = x · weightᵀ + bias. On the CPU a row's result is the same to the last bit whatever the
   * number of rows.
   */
  void linear(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out);

  /**
   * Linear layers of the same input, without biases: outs[i] = x · weights[i]ᵀ, as {@link #linear}
   * computes each. A device may compute them all at once.
   */
  default void linears(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    for (int i = 0; i < weights.size(); i++) {
      linear(x, weights.get(i), null, outs.get(i));
    }
  }

  /**
   * {@link #linear} for rows of different sequences, as in a step of decoding: made for few rows.
   * On the CPU a row's result is again the same whatever the number of rows, but differs in the
   * last bits from that of {@link #linear}; so what computes a row one way must not compute it the
   * other way at another time.
   */
  default void linearPerRow(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor out) {
    linear(x, weight, bias, out);
  }

  /**
   * Linear layers of the same input for rows of different sequences: {@link #linearPerRow} each.
   */
  default void linearsPerRow(Tensor x, List<Tensor> weights, List<Tensor> outs) {
    for (int i = 0; i < weights.size(); i++) {
      linearPerRow(x, weights.get(i), null, outs.get(i));
    }
  }

  /** out = gelu(x · weightᵀ + bias) with the exact GELU, x/2 · (1 + erf(x/√2)). */
  void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor out);

  // ---- norms; all [M, W] dense, weight and bias [W]

  /**
   * out = (x − mean) / sqrt(variance + eps) · weight + bias, per row, with the biased variance. out
   * may be x.
   */
  void layerNorm(Tensor x, Tensor weight, Tensor bias, float eps, Tensor out);

  /**
   * x += delta, then out = layerNorm(x). out may be x itself (post-norm: the sum is not needed
   * again).
   */
  void addLayerNorm(Tensor x, Tensor delta, Tensor weight, Tensor bias, float eps, Tensor out);

  /** out = x / sqrt(mean(x²) + eps) · weight, per row (Zhang and Sennrich 2019). */
  void rmsNorm(Tensor x, Tensor weight, float eps, Tensor out);

  /** x += delta, then out = rmsNorm(x). */
  void addRmsNorm(Tensor x, Tensor delta, Tensor weight, float eps, Tensor out);

  // ---- element-wise

  /** x += delta; same shape, both dense. */
  void add(Tensor x, Tensor delta);

  /** out = silu(gate) · up with silu(g) = g / (1 + e^−g); out may be gate. Rows may be strided. */
  void siluMul(Tensor gate, Tensor up, Tensor out);

  // ---- attention

  /**
   * Full (non-causal) multi-head attention, softmax(scale · q kᵀ) v, separately for each of {@code
   * batch} items.
   *
   * @param q [batch·Tq, heads·D], rows may be strided
   * @param k [batch·Tk, heads·D], rows may be strided
   * @param v like k
   * @param scale factor on the scores, D^−0.5
   * @param out [batch·Tq, heads·D]
   */
  void attention(Tensor q, Tensor k, Tensor v, int batch, int heads, float scale, Tensor out);

  /**
   * Rotates queries and keys by their positions (rotate-half RoPE, Su et al. 2021: pairs i and i +
   * D/2) and appends keys and values to the caches' pages of this layer.
   *
   * @param q [M, heads·D], rotated in place
   * @param k [M, kvHeads·D]; its content afterwards is undefined
   * @param v [M, kvHeads·D]
   * @param batch which rows belong where; M = batch.totalRows()
   * @param inverseFrequencies [D/2] F32, θ^(−2i/D), already divided by a linear scaling factor
   */
  void ropeAppend(Tensor q, Tensor k, Tensor v, Batch batch, int layer, Tensor inverseFrequencies);

  /**
   * Causal attention of each row over its sequence's cached tokens up to and including itself,
   * scores scaled by D^−0.5. Query head h reads key/value head h · kvHeads / heads (grouped-query
   * attention, Ainslie et al. 2023).
   *
   * @param q [M, heads·D] after {@link #ropeAppend}
   * @param out [M, heads·D]
   */
  void causalAttention(Tensor q, Batch batch, int layer, Tensor out);

  // ---- inputs

  /**
   * Gathers embedding rows and splices image rows: ids[i] ≥ 0 takes table row ids[i], ids[i] &lt; 0
   * takes row ~ids[i] of {@code imageRows}.
   *
   * @param table [vocab, W]
   * @param ids [≥ count]; every index is checked
   * @param count number of ids to use
   * @param imageRows [n, W] of the activation type, or null if no id is negative
   * @param out [count, W]
   */
  void embed(Tensor table, int[] ids, int count, @Nullable Tensor imageRows, Tensor out);

  /**
   * A ViT's first layer: out[b, 0] = cls + position[0]; out[b, 1 + i] = the convolution of patch i
   * with stride = kernel = P, + bias + position[1 + i], patches in row-major order.
   *
   * @param pixels [B, 3, S, S] F32
   * @param weight [W, 3, P, P]
   * @param bias [W]
   * @param cls [W]
   * @param position [1 + (S/P)², W]
   * @param out [B·(1 + (S/P)²), W]
   */
  void patchEmbed(
      Tensor pixels, Tensor weight, Tensor bias, Tensor cls, Tensor position, Tensor out);

  /** out [times·n, W] = rows [n, W], {@code times} times over, converted to the activation type. */
  void repeat(Tensor rows, int times, Tensor out);

  /** Gathers rows: out[i] = x[indices[i]] for i &lt; count; x and out [., W] dense. */
  void gather(Tensor x, int[] indices, int count, Tensor out);

  /**
   * The operations of training, over this device's memory.
   *
   * @throws UserException if this device cannot train
   */
  default GradOps gradients() {
    throw new UserException("there is no training on " + device() + "; use --device cpu");
  }

  // ---- tokens

  /**
   * Begins to choose a sequence's tokens where the scores are, so that these need not come to the
   * host.
   *
   * @param endIds tokens that end the sequence, which the rule may forbid at first; each below the
   *     vocabulary's size
   * @return null if scores are read and tokens chosen on the host, as on the CPU
   */
  default @Nullable TokenChoice tokenChoice(TokenRule rule, int... endIds) {
    return null;
  }

  /**
   * Chooses a token for each row that has a choice, and waits for it. The other rows keep their
   * scores.
   *
   * @param scores [n, vocabulary] F32; what is in rows with a choice is undefined afterwards
   * @param choices of this device, or null; that of row i is at {@code first + i}
   * @param tokens gets the chosen ids at the same places; −1 where the highest score is infinite or
   *     no score is a number above −∞
   */
  default void choose(Tensor scores, @Nullable TokenChoice[] choices, int first, int[] tokens) {
    throw new UnsupportedOperationException(device() + " chooses no tokens");
  }

  // ---- repetition

  /**
   * Runs calls that will be run again and again with the same tensors. A device may record them
   * once and replay what it recorded, so that the host has next to nothing to do for a step.
   *
   * @param key stands for the calls: with the same key they must be the same calls with the same
   *     arguments, but for lengths and pages in {@code batch} and the numbers in {@code ids}
   * @param batch the only one that the calls use, one row for each sequence
   * @param ids the only ids that the calls use; checked by the caller, as a replay cannot
   * @param layer one that the calls are about: they use the same part of the pages
   * @param calls no {@link #read}, {@link #write} or {@link #gather} among them, no negative ids
   */
  default void replay(Object key, Batch batch, int[] ids, int layer, Runnable calls) {
    calls.run();
  }

  /** Why the device cannot compute any more, after an exception; null if it still can. */
  default @Nullable String failure() {
    return null;
  }

  /** Releases all memory and threads. */
  @Override
  void close();
}
