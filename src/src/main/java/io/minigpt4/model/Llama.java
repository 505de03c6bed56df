package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * The LLaMA decoder (Touvron et al. 2023): RMSNorm, rotary positions, causal attention with grouped
 * keys and values, a gated SiLU feed-forward.
 *
 * <p>Not safe for use by several threads; many sequences go through one object in one {@link
 * Batch}.
 */
public final class Llama {
  /** Rows that go through the layers at once; longer prompts are cut, to bound the memory. */
  public static final int CHUNK = 512;

  /** Passes of up to so many rows, one a sequence, reuse their buffers and make no garbage. */
  private static final int KEPT_ROWS = 16;

  private final LlamaConfig config;
  private final Ops ops;
  private final Tensor embedding;
  private final LlamaLayer[] layers;
  private final Tensor norm;
  private final Tensor head;
  private final Tensor inverseFrequencies;
  private final KvCache.Pool pool;

  private @Nullable LlamaBuffers widest;
  private @Nullable Tensor widestLogits;
  private final @Nullable LlamaBuffers[] kept = new LlamaBuffers[KEPT_ROWS + 1];
  private final @Nullable Tensor[] keptLogits = new Tensor[KEPT_ROWS + 1];
  private final Batch chunk = new Batch(CHUNK);
  private final int[] chunkIds = new int[CHUNK];
  private final int[] lastRows = new int[CHUNK];

  Llama(
      LlamaConfig config,
      Ops ops,
      Tensor embedding,
      LlamaLayer[] layers,
      Tensor norm,
      Tensor head) {
    this.config = config;
    this.ops = ops;
    this.embedding = embedding;
    this.layers = layers;
    this.norm = norm;
    this.head = head;
    this.inverseFrequencies = inverseFrequencies(config, ops);
    this.pool =
        new KvCache.Pool(
            ops, ops.activation(), layers.length, config.numKeyValueHeads(), config.headSize());
  }

  /**
   * Reads a model under Hugging Face's names.
   *
   * @param prefix before every name: empty, or {@code llama_model.} in a model folder of ours
   * @throws UserException if a tensor is missing, its shape is not what the config says, or there
   *     are more layers
   */
  public static Llama read(Checkpoint checkpoint, String prefix, LlamaConfig config, Ops ops) {
    WeightReader in = new WeightReader(checkpoint, prefix, ops);
    long vocab = config.vocabSize();
    long hidden = config.hiddenSize();
    LlamaLayer[] layers = new LlamaLayer[config.numHiddenLayers()];
    for (int i = 0; i < layers.length; i++) {
      layers[i] = LlamaLayer.read(in.within("model.layers." + i + "."), config);
    }
    in.requireNone("model.layers." + layers.length + ".mlp.up_proj.weight", layers.length);
    Tensor embedding = in.get("model.embed_tokens.weight", vocab, hidden);
    Tensor head = config.tieWordEmbeddings() ? embedding : in.get("lm_head.weight", vocab, hidden);
    return new Llama(config, ops, embedding, layers, in.get("model.norm.weight", hidden), head);
  }

  /**
   * A model of random weights, normal with deviation 0.02, for benchmarks and tests.
   *
   * @param dtype of all weights: F32, F16 or BF16
   */
  public static Llama random(LlamaConfig config, DType dtype, long seed, Ops ops) {
    RandomWeights random = new RandomWeights(dtype, seed, ops);
    long hidden = config.hiddenSize();
    long attention = (long) config.numAttentionHeads() * config.headSize();
    long keyValue = (long) config.numKeyValueHeads() * config.headSize();
    long inner = config.intermediateSize();
    LlamaLayer[] layers = new LlamaLayer[config.numHiddenLayers()];
    for (int i = 0; i < layers.length; i++) {
      layers[i] =
          new LlamaLayer(
              random.ones(hidden),
              random.normal(attention, hidden),
              random.normal(keyValue, hidden),
              random.normal(keyValue, hidden),
              random.normal(hidden, attention),
              random.ones(hidden),
              random.normal(inner, hidden),
              random.normal(inner, hidden),
              random.normal(hidden, inner));
    }
    Tensor embedding = random.normal(config.vocabSize(), hidden);
    Tensor head =
        config.tieWordEmbeddings() ? embedding : random.normal(config.vocabSize(), hidden);
    return new Llama(config, ops, embedding, layers, random.ones(hidden), head);
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

  public LlamaConfig config() {
    return config;
  }

  /** What the model computes on. */
  public Ops ops() {
    return ops;
  }

  /** A new, empty sequence. */
  public KvCache newCache() {
    return pool.newCache();
  }

  /**
   * Runs the batch's rows through the model, stores their keys and values and commits the batch
   * (the caller must not). A row is a token, or an image's embedding where the id is negative.
   * Passes of up to 16 sequences with one row each allocate nothing once they have been made
   * before.
   *
   * @param batch which rows belong to which sequence; at most {@link #CHUNK} sequences
   * @param ids [≥ batch.totalRows()] tokens of all sequences one after the other; {@code ~i} stands
   *     for row i of {@code imageRows}
   * @param imageRows [n, hiddenSize] of the activation type, or null if no id is negative
   * @param logits [batch.size(), vocabSize] floats in host memory for the scores of the tokens that
   *     follow each sequence's last row; null if nobody wants them, which saves the work
   * @throws IndexOutOfBoundsException if an id or image row does not exist
   */
  public void forward(
      Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
    if (batch.totalRows() > CHUNK) {
      forwardInChunks(batch, ids, imageRows, logits);
      return;
    }
    for (int i = 0; i < batch.size(); i++) {
      lastRows[i] = batch.start(i) + batch.rows(i) - 1;
    }
    pass(batch, ids, imageRows, batch.size(), logits);
  }

  private void forwardInChunks(
      Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable MemorySegment logits) {
    int sequence = 0;
    int rowInSequence = 0;
    int done = 0;
    int finished = 0;
    while (done < batch.totalRows()) {
      chunk.clear();
      int wanted = 0;
      while (sequence < batch.size() && chunk.totalRows() < CHUNK) {
        int left = batch.rows(sequence) - rowInSequence;
        int part = Math.min(CHUNK - chunk.totalRows(), left);
        chunk.add(batch.cache(sequence), part);
        rowInSequence += part;
        if (part == left) {
          lastRows[wanted++] = chunk.totalRows() - 1;
          sequence++;
          rowInSequence = 0;
        }
      }
      System.arraycopy(ids, done, chunkIds, 0, chunk.totalRows());
      done += chunk.totalRows();
      MemorySegment part =
          logits == null
              ? null
              : logits.asSlice((long) Float.BYTES * finished * config.vocabSize());
      pass(chunk, chunkIds, imageRows, wanted, part);
      finished += wanted;
    }
    chunk.clear();
  }

  /** One pass of at most {@link #CHUNK} rows; the first {@code wanted} of lastRows get logits. */
  private void pass(
      Batch batch,
      int[] ids,
      @Nullable Tensor imageRows,
      int wanted,
      @Nullable MemorySegment logits) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    try {
      LlamaBuffers b = buffers(batch.totalRows());
      ops.embed(embedding, ids, batch.totalRows(), imageRows, b.hidden());
      int last = layers.length - 1;
      for (int i = 0; i < last; i++) {
        project(i, batch, b);
        ops.causalAttention(b.query(), batch, i, b.attended());
        feedForward(layers[i], b);
      }
      project(last, batch, b);
      if (wanted > 0 && logits != null) {
        ops.causalAttention(b.query(), batch, last, b.attended());
        // Nobody reads what the last layer says about the other rows.
        LlamaBuffers end = wanted == batch.totalRows() ? b : onlyLastRows(b, wanted);
        feedForward(layers[last], end);
        score(end, wanted, logits);
      }
    } finally {
      workspace.release(mark);
    }
    batch.commit();
  }

  /**
   * Runs whole sequences through the layers and the final norm, for training: all rows, without the
   * head, without cutting them into chunks. The batch is not committed, as backward passes look at
   * what it stored.
   *
   * @param batch sequences, each from its start
   * @param ids as for {@link #forward}
   * @param imageRows as for {@link #forward}
   * @return [batch.totalRows(), hiddenSize] in the workspace, as is all that this pass leaves
   *     behind: the caller releases it when nobody needs it any more
   */
  public Tensor hidden(Batch batch, int[] ids, @Nullable Tensor imageRows) {
    LlamaBuffers b =
        LlamaBuffers.take(ops.workspace()::take, ops.activation(), config, batch.totalRows());
    ops.embed(embedding, ids, batch.totalRows(), imageRows, b.hidden());
    for (int i = 0; i < layers.length; i++) {
      project(i, batch, b);
      ops.causalAttention(b.query(), batch, i, b.attended());
      feedForward(layers[i], b);
    }
    ops.addRmsNorm(b.hidden(), b.delta(), norm, config.rmsNormEps(), b.normed());
    return b.normed();
  }

  /** The head's weight [vocabSize, hiddenSize], which turns {@link #hidden} into scores. */
  public Tensor head() {
    return head;
  }

  private void score(LlamaBuffers b, int rows, MemorySegment logits) {
    ops.addRmsNorm(b.hidden(), b.delta(), norm, config.rmsNormEps(), b.normed());
    Tensor scores = logits(rows);
    ops.linear(b.normed(), head, null, scores);
    ops.read(scores, logits);
  }

  /** A layer up to its stored keys and values and rotated queries. */
  private void project(int i, Batch batch, LlamaBuffers b) {
    LlamaLayer layer = layers[i];
    if (i == 0) {
      ops.rmsNorm(b.hidden(), layer.inputNorm(), config.rmsNormEps(), b.normed());
    } else {
      ops.addRmsNorm(b.hidden(), b.delta(), layer.inputNorm(), config.rmsNormEps(), b.normed());
    }
    ops.linear(b.normed(), layer.query(), null, b.query());
    ops.linear(b.normed(), layer.key(), null, b.key());
    ops.linear(b.normed(), layer.value(), null, b.value());
    ops.ropeAppend(b.query(), b.key(), b.value(), batch, i, inverseFrequencies);
  }

  /** The rest of a layer; what it adds to the residual stream is left in delta. */
  private void feedForward(LlamaLayer layer, LlamaBuffers b) {
    ops.linear(b.attended(), layer.output(), null, b.delta());
    ops.addRmsNorm(b.hidden(), b.delta(), layer.postNorm(), config.rmsNormEps(), b.normed());
    ops.linear(b.normed(), layer.gate(), null, b.gate());
    ops.linear(b.normed(), layer.up(), null, b.up());
    ops.siluMul(b.gate(), b.up(), b.gate());
    ops.linear(b.gate(), layer.down(), null, b.delta());
  }

  private LlamaBuffers onlyLastRows(LlamaBuffers b, int wanted) {
    LlamaBuffers end = LlamaBuffers.take(ops.workspace()::take, ops.activation(), config, wanted);
    ops.gather(b.hidden(), lastRows, wanted, end.hidden());
    ops.gather(b.attended(), lastRows, wanted, end.attended());
    return end;
  }

  private LlamaBuffers buffers(int rows) {
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

  private Tensor logits(int rows) {
    if (rows > KEPT_ROWS) {
      return ops.workspace().take(ops.activation(), rows, config.vocabSize());
    }
    Tensor found = keptLogits[rows];
    if (found == null) {
      if (widestLogits == null) {
        widestLogits = ops.allocate(ops.activation(), KEPT_ROWS, config.vocabSize());
      }
      found = widestLogits.slice(0, rows);
      keptLogits[rows] = found;
    }
    return found;
  }
}
