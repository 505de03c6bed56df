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
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;
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

  private final LlamaConfig config;
  private final List<LlamaStage> stages;
  private final Tensor embedding;
  private final Tensor norm;
  private final Tensor head;
  private final KvCache.Pool pool;
  private final DecodeStep decodeStep = new DecodeStep();
  private final HostScores hostScores = new HostScores();
  private @Nullable MemorySegment crossing;

  private final Batch chunk = new Batch(CHUNK);
  private final int[] chunkIds = new int[CHUNK];
  private final int[] lastRows = new int[CHUNK];

  private Llama(
      LlamaConfig config, List<LlamaStage> stages, Tensor embedding, Tensor norm, Tensor head) {
    this.config = config;
    this.stages = stages;
    this.embedding = embedding;
    this.norm = norm;
    this.head = head;
    this.pool =
        new KvCache.Pool(
            stages.stream().map(LlamaStage::ops).toList(),
            stages.stream().mapToInt(LlamaStage::layers).toArray(),
            cacheType(stages),
            config.numKeyValueHeads(),
            config.headSize());
  }

  /** What all stages' keys and values are kept in: F32 if one of them wants that. */
  private static DType cacheType(List<LlamaStage> stages) {
    List<DType> types =
        stages.stream().map(stage -> stage.ops().cacheType(stage.cachedWeights())).toList();
    return types.contains(DType.F32) ? DType.F32 : types.getFirst();
  }

  /** Takes a pass's scores while they are on the device that made them. */
  @FunctionalInterface
  public interface ScoreReader {
    /**
     * Takes scores of the tokens that follow some sequences' last rows; they may be changed, and do
     * not last beyond the call.
     *
     * @param ops the device that holds them
     * @param scores [n, vocabSize] F32 of the sequences {@code first} to {@code first + n − 1}
     */
    void read(Ops ops, Tensor scores, int first);
  }

  /** Brings scores to host memory. */
  private static final class HostScores implements ScoreReader {
    private @Nullable MemorySegment target;

    @Override
    public void read(Ops ops, Tensor scores, int first) {
      MemorySegment all = Objects.requireNonNull(target);
      ops.read(scores, first == 0 ? all : all.asSlice((long) Float.BYTES * first * scores.width()));
    }
  }

  /** Makes layer {@code i} on a device. */
  private interface LayerSource {
    LlamaLayer layer(int i, Ops ops);
  }

  /** Divides the layers among devices: each gets the next {@code layers / devices} of them. */
  private static List<LlamaStage> stages(
      LlamaConfig config, List<? extends Ops> devices, LayerSource source) {
    List<LlamaStage> stages = new ArrayList<>();
    int all = config.numHiddenLayers();
    int used = Math.min(devices.size(), all);
    for (int d = 0; d < used; d++) {
      Ops ops = devices.get(d);
      int from = (int) ((long) all * d / used);
      LlamaLayer[] layers = new LlamaLayer[(int) ((long) all * (d + 1) / used) - from];
      for (int i = 0; i < layers.length; i++) {
        layers[i] = source.layer(from + i, ops);
      }
      stages.add(new LlamaStage(config, ops, from, layers));
    }
    return stages;
  }

  /**
   * Reads a model under Hugging Face's names.
   *
   * @param prefix before every name: empty, or {@code llama_model.} in a model folder of ours
   * @throws UserException if a tensor is missing, its shape is not what the config says, or there
   *     are more layers
   */
  public static Llama read(Checkpoint checkpoint, String prefix, LlamaConfig config, Ops ops) {
    return read(checkpoint, prefix, config, List.of(ops));
  }

  /**
   * The same on several devices: each has a share of the layers, the first one the embedding too,
   * the last one the head.
   *
   * @param devices at least one
   */
  public static Llama read(
      Checkpoint checkpoint, String prefix, LlamaConfig config, List<? extends Ops> devices) {
    List<LlamaStage> stages =
        stages(
            config,
            devices,
            (i, ops) ->
                LlamaLayer.read(
                    new WeightReader(checkpoint, prefix + "model.layers." + i + ".", ops), config));
    long vocab = config.vocabSize();
    long hidden = config.hiddenSize();
    WeightReader first = new WeightReader(checkpoint, prefix, stages.getFirst().ops());
    int layers = config.numHiddenLayers();
    first.requireNone("model.layers." + layers + ".mlp.up_proj.weight", layers);
    WeightReader last = new WeightReader(checkpoint, prefix, stages.getLast().ops());
    Tensor embedding = first.get("model.embed_tokens.weight", vocab, hidden);
    Tensor head =
        !config.tieWordEmbeddings()
            ? last.matrix("lm_head.weight", vocab, hidden)
            : stages.size() == 1 ? embedding : last.get("model.embed_tokens.weight", vocab, hidden);
    return new Llama(config, stages, embedding, last.get("model.norm.weight", hidden), head);
  }

  /**
   * A model of random weights, normal with deviation 0.02, for benchmarks and tests.
   *
   * @param dtype of all weights: F32, F16 or BF16; Q8 or Q4 of the layers' matrices, with a head of
   *     Q8 and all else F16
   */
  public static Llama random(LlamaConfig config, DType dtype, long seed, Ops ops) {
    RandomWeights random = new RandomWeights(dtype, seed, ops);
    long hidden = config.hiddenSize();
    long attention = (long) config.numAttentionHeads() * config.headSize();
    long keyValue = (long) config.numKeyValueHeads() * config.headSize();
    long inner = config.intermediateSize();
    List<LlamaStage> stages =
        stages(
            config,
            List.of(ops),
            (i, on) ->
                new LlamaLayer(
                    random.ones(hidden),
                    random.matrix(attention, hidden),
                    random.matrix(keyValue, hidden),
                    random.matrix(keyValue, hidden),
                    random.matrix(hidden, attention),
                    random.ones(hidden),
                    random.matrix(inner, hidden),
                    random.matrix(inner, hidden),
                    random.matrix(hidden, inner)));
    Tensor embedding = random.normal(config.vocabSize(), hidden);
    Tensor head = config.tieWordEmbeddings() ? embedding : random.head(config.vocabSize(), hidden);
    return new Llama(config, stages, embedding, random.ones(hidden), head);
  }

  public LlamaConfig config() {
    return config;
  }

  /** What the model computes on; of several devices the first, which takes in image rows. */
  public Ops ops() {
    return stages.getFirst().ops();
  }

  /** Where scores are made; of several devices the last. */
  public Ops scoringOps() {
    return stages.getLast().ops();
  }

  /** Which device cannot compute any more, and why; null if all can. */
  public @Nullable String failure() {
    for (LlamaStage stage : stages) {
      String failure = stage.ops().failure();
      if (failure != null) {
        return stage.ops().device() + " failed: " + failure;
      }
    }
    return null;
  }

  /** Bytes that a token's keys and values take, of all layers together. */
  public long kvBytesPerToken() {
    long elements = 2L * config.numHiddenLayers() * pool.kvHeads() * pool.headDim();
    return elements * pool.dtype().bytes();
  }

  /** Where its sequences' keys and values are kept. */
  public KvCache.Pool pool() {
    return pool;
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
    hostScores.target = logits;
    score(batch, ids, imageRows, logits == null ? null : hostScores);
    hostScores.target = null;
  }

  /**
   * {@link #forward} with scores that stay on the device.
   *
   * @param scores is given the scores of each sequence once, in order; null if nobody wants them
   */
  public void score(
      Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable ScoreReader scores) {
    if (batch.totalRows() > CHUNK) {
      forwardInChunks(batch, ids, imageRows, scores);
      return;
    }
    for (int i = 0; i < batch.size(); i++) {
      lastRows[i] = batch.start(i) + batch.rows(i) - 1;
    }
    pass(batch, ids, imageRows, batch.size(), scores, 0);
  }

  private void forwardInChunks(
      Batch batch, int[] ids, @Nullable Tensor imageRows, @Nullable ScoreReader scores) {
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
      pass(chunk, chunkIds, imageRows, wanted, scores, finished);
      finished += wanted;
    }
    chunk.clear();
  }

  /**
   * One pass of at most {@link #CHUNK} rows; the first {@code wanted} of lastRows get scores, which
   * are those of the sequences from {@code first} on.
   */
  private void pass(
      Batch batch,
      int[] ids,
      @Nullable Tensor imageRows,
      int wanted,
      @Nullable ScoreReader reader,
      int first) {
    int rows = batch.totalRows();
    boolean repeats =
        rows == wanted && rows <= LlamaStage.KEPT_ROWS && imageRows == null && reader != null;
    LlamaBuffers before = null;
    for (int s = 0; s < stages.size(); s++) {
      LlamaStage stage = stages.get(s);
      Workspace workspace = stage.ops().workspace();
      long mark = workspace.mark();
      try {
        LlamaBuffers b = stage.buffers(rows);
        if (before != null) {
          carry(before, stages.get(s - 1), b, stage);
        }
        boolean scored = reader != null && wanted > 0;
        Tensor scores = scored && s + 1 == stages.size() ? stage.logits(wanted) : null;
        if (repeats) {
          checkTokens(ids, rows);
          decodeStep.set(s, batch, ids, b, scores);
          stage.ops().replay(b, batch, ids, stage.firstLayer(), decodeStep);
          decodeStep.clear();
        } else {
          run(s, batch, ids, imageRows, b, scores);
        }
        if (scores != null && reader != null) {
          reader.read(stage.ops(), scores, first);
        }
        before = b;
      } finally {
        workspace.release(mark);
      }
    }
    batch.commit();
  }

  /**
   * Runs whole sequences through the layers and the final norm, for training: without the head, and
   * without cutting them into chunks. The batch is not committed, as backward passes look at what
   * it stored.
   *
   * @param batch sequences, each from its start
   * @param ids as for {@link #forward}
   * @param imageRows as for {@link #forward}
   * @param targets [batch.totalRows()] what each row should predict; the last layer leaves out the
   *     rows where it is negative, which nothing depends on
   * @return [rows with a target, hiddenSize] in the workspace, as is all that this pass leaves
   *     behind: the caller releases it when nobody needs it any more
   */
  public Tensor hidden(Batch batch, int[] ids, @Nullable Tensor imageRows, int[] targets) {
    if (stages.size() > 1) {
      throw new UserException("training needs the language model on one device");
    }
    LlamaStage stage = stages.getFirst();
    Ops ops = stage.ops();
    int rows = batch.totalRows();
    int[] wanted = IntStream.range(0, rows).filter(i -> targets[i] >= 0).toArray();
    LlamaBuffers b = LlamaBuffers.take(ops.workspace()::take, ops.activation(), config, rows);
    ops.embed(embedding, ids, rows, imageRows, b.hidden());
    int last = stage.layers() - 1;
    for (int i = 0; i < last; i++) {
      stage.layer(i, batch, b);
    }
    stage.project(last, batch, b);
    stage.attend(last, batch, b);
    LlamaBuffers end = wanted.length == rows ? b : stage.only(b, wanted, wanted.length);
    stage.feedForward(last, end, false);
    ops.addRmsNorm(end.hidden(), end.delta(), norm, config.rmsNormEps(), end.normed());
    return end.normed();
  }

  /** The head's weight [vocabSize, hiddenSize], which turns {@link #hidden} into scores. */
  public Tensor head() {
    return head;
  }

  private void checkTokens(int[] ids, int count) {
    for (int i = 0; i < count; i++) {
      if (ids[i] < 0 || ids[i] >= config.vocabSize()) {
        throw new IndexOutOfBoundsException("id " + ids[i] + " of " + config.vocabSize());
      }
    }
  }

  /** Work of a stage that is the same for every step but for lengths and ids. */
  private final class DecodeStep implements Runnable {
    private int stage;
    private @Nullable Batch batch;
    private int @Nullable [] ids;
    private @Nullable LlamaBuffers buffers;
    private @Nullable Tensor scores;

    void set(
        int stageNumber,
        Batch ofBatch,
        int[] tokens,
        LlamaBuffers memory,
        @Nullable Tensor wantedScores) {
      stage = stageNumber;
      batch = ofBatch;
      ids = tokens;
      buffers = memory;
      scores = wantedScores;
    }

    void clear() {
      batch = null;
      ids = null;
      buffers = null;
      scores = null;
    }

    @Override
    public void run() {
      Llama.this.run(
          stage,
          Objects.requireNonNull(batch),
          Objects.requireNonNull(ids),
          null,
          Objects.requireNonNull(buffers),
          scores);
    }
  }

  /** A stage's part of a pass. The last stage fills {@code scores}, unless nobody wants any. */
  private void run(
      int s,
      Batch batch,
      int[] ids,
      @Nullable Tensor imageRows,
      LlamaBuffers b,
      @Nullable Tensor scores) {
    LlamaStage stage = stages.get(s);
    Ops ops = stage.ops();
    if (s == 0) {
      ops.embed(embedding, ids, batch.totalRows(), imageRows, b.hidden());
    }
    int last = stage.layers() - 1;
    for (int i = 0; i < last; i++) {
      stage.layer(i, batch, b);
    }
    if (s + 1 < stages.size()) {
      stage.layer(last, batch, b);
      ops.add(b.hidden(), b.delta());
      return;
    }
    stage.project(last, batch, b);
    if (scores != null) {
      stage.attend(last, batch, b);
      int wanted = (int) scores.rows();
      // Nobody reads what the last layer says about the other rows.
      LlamaBuffers end = wanted == batch.totalRows() ? b : stage.only(b, lastRows, wanted);
      stage.feedForward(last, end, true);
      ops.addRmsNorm(end.hidden(), end.delta(), norm, config.rmsNormEps(), end.normed());
      ops.linearPerRow(end.normed(), head, null, scores);
    }
  }

  /**
   * Brings the residual stream from one device to the next, through host memory. {@code from} may
   * have gone back to its workspace, but nothing has been taken there since.
   */
  private void carry(LlamaBuffers from, LlamaStage fromStage, LlamaBuffers to, LlamaStage toStage) {
    MemorySegment host = crossing;
    long bytes = (long) Float.BYTES * CHUNK * config.hiddenSize();
    if (host == null) {
      host = Arena.ofAuto().allocate(bytes, 64);
      crossing = host;
    }
    fromStage.ops().read(from.hidden(), host);
    toStage.ops().write(host, to.hidden());
  }
}
