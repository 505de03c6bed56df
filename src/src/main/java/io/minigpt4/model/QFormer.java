package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import org.jspecify.annotations.Nullable;

/**
 * BLIP-2's querying transformer without its text branch (Li et al. 2023): learned queries that
 * attend to each other and, in some layers, to the image; post-norm, as in BERT.
 *
 * <p>Not safe for use by several threads.
 */
public final class QFormer {
  private static final int PUBLISHED_HEAD = 64;
  private static final float PUBLISHED_EPS = 1e-12f;

  private final QFormerConfig config;
  private final Ops ops;
  private final Tensor queries;
  private final Norm embeddingNorm;
  private final Layer[] layers;

  /** Attention with its dense layer and norm. */
  private record Attention(Linear query, Linear key, Linear value, Linear dense, Norm norm) {}

  private record Layer(
      Attention self, @Nullable Attention cross, Linear inner, Linear outer, Norm norm) {}

  /** Memory of one forward pass: B · Q rows, or B · N for what comes from the image. */
  private record Buffers(
      Tensor query,
      Tensor key,
      Tensor value,
      Tensor imageKey,
      Tensor imageValue,
      Tensor attended,
      Tensor delta,
      Tensor inner) {}

  private QFormer(
      QFormerConfig config, Ops ops, Tensor queries, Norm embeddingNorm, Layer[] layers) {
    this.config = config;
    this.ops = ops;
    this.queries = queries;
    this.embeddingNorm = embeddingNorm;
    this.layers = layers;
  }

  /**
   * Reads a model under BLIP-2's names ({@code query_tokens}, {@code Qformer.bert.…}). A layer has
   * cross-attention where the checkpoint has tensors for it.
   *
   * @param imageWidth channels of the image features
   * @throws UserException if a tensor is missing, its shape is not what the config says, or there
   *     are more layers
   */
  public static QFormer read(Checkpoint checkpoint, QFormerConfig config, int imageWidth, Ops ops) {
    WeightReader in = new WeightReader(checkpoint, "", ops);
    WeightReader bert = in.within("Qformer.bert.");
    long width = config.hiddenSize();
    long innerWidth = config.intermediateSize();
    Layer[] layers = new Layer[config.numHiddenLayers()];
    for (int i = 0; i < layers.length; i++) {
      WeightReader layer = bert.within("encoder.layer." + i + ".");
      layers[i] =
          new Layer(
              readAttention(layer.within("attention."), width, width),
              layer.has("crossattention.self.query.weight")
                  ? readAttention(layer.within("crossattention."), width, imageWidth)
                  : null,
              Linear.read(layer, "intermediate_query.dense", innerWidth, width),
              Linear.read(layer, "output_query.dense", width, innerWidth),
              Norm.read(layer, "output_query.LayerNorm", width));
    }
    bert.requireNone(
        "encoder.layer." + layers.length + ".output_query.dense.weight", layers.length);
    return new QFormer(
        config,
        ops,
        in.get("query_tokens", 1, config.numQueryTokens(), width)
            .reshape(config.numQueryTokens(), width),
        Norm.read(bert, "embeddings.LayerNorm", width),
        layers);
  }

  private static Attention readAttention(WeightReader in, long width, long keyWidth) {
    return new Attention(
        Linear.read(in, "self.query", width, width),
        Linear.read(in, "self.key", width, keyWidth),
        Linear.read(in, "self.value", width, keyWidth),
        Linear.read(in, "output.dense", width, width),
        Norm.read(in, "output.LayerNorm", width));
  }

  /**
   * A model of random weights with cross-attention in every other layer, for benchmarks and tests.
   *
   * @param dtype of all weights: F32, F16 or BF16
   */
  public static QFormer random(
      QFormerConfig config, int imageWidth, DType dtype, long seed, Ops ops) {
    RandomWeights random = new RandomWeights(dtype, seed, ops);
    long width = config.hiddenSize();
    long innerWidth = config.intermediateSize();
    Layer[] layers = new Layer[config.numHiddenLayers()];
    for (int i = 0; i < layers.length; i++) {
      layers[i] =
          new Layer(
              randomAttention(random, width, width),
              i % 2 == 0 ? randomAttention(random, width, imageWidth) : null,
              Linear.random(random, innerWidth, width),
              Linear.random(random, width, innerWidth),
              Norm.random(random, width));
    }
    return new QFormer(
        config,
        ops,
        random.normal(config.numQueryTokens(), width),
        Norm.random(random, width),
        layers);
  }

  private static Attention randomAttention(RandomWeights random, long width, long keyWidth) {
    return new Attention(
        Linear.random(random, width, width),
        Linear.random(random, width, keyWidth),
        Linear.random(random, width, keyWidth),
        Linear.random(random, width, width),
        Norm.random(random, width));
  }

  public QFormerConfig config() {
    return config;
  }

  /**
   * Turns image features into query features.
   *
   * @param image [images · N, imageWidth]
   * @param images how many images the rows belong to
   * @param out [images · queryTokens, hiddenSize]
   */
  public void forward(Tensor image, int images, Tensor out) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    Buffers buffers = buffers(image.rows(), (long) images * config.numQueryTokens());
    float eps = config.layerNormEps();
    ops.repeat(queries, images, out);
    ops.layerNorm(out, embeddingNorm.weight(), embeddingNorm.bias(), eps, out);
    for (Layer layer : layers) {
      attend(layer.self, out, out, buffers.key, buffers.value, images, buffers);
      if (layer.cross != null) {
        attend(layer.cross, out, image, buffers.imageKey, buffers.imageValue, images, buffers);
      }
      ops.linearGelu(out, layer.inner.weight(), layer.inner.bias(), buffers.inner);
      layer.outer.apply(ops, buffers.inner, buffers.delta);
      ops.addLayerNorm(out, buffers.delta, layer.norm.weight(), layer.norm.bias(), eps, out);
    }
    workspace.release(mark);
  }

  private void attend(
      Attention attention,
      Tensor x,
      Tensor source,
      Tensor key,
      Tensor value,
      int images,
      Buffers buffers) {
    attention.query.apply(ops, x, buffers.query);
    attention.key.apply(ops, source, key);
    attention.value.apply(ops, source, value);
    float scale =
        (float) (1 / Math.sqrt((double) config.hiddenSize() / config.numAttentionHeads()));
    ops.attention(
        buffers.query, key, value, images, config.numAttentionHeads(), scale, buffers.attended);
    attention.dense.apply(ops, buffers.attended, buffers.delta);
    ops.addLayerNorm(
        x, buffers.delta, attention.norm.weight(), attention.norm.bias(), config.layerNormEps(), x);
  }

  private Buffers buffers(long imageRows, long rows) {
    Workspace workspace = ops.workspace();
    DType dtype = ops.activation();
    long width = config.hiddenSize();
    return new Buffers(
        workspace.take(dtype, rows, width),
        workspace.take(dtype, rows, width),
        workspace.take(dtype, rows, width),
        workspace.take(dtype, imageRows, width),
        workspace.take(dtype, imageRows, width),
        workspace.take(dtype, rows, width),
        workspace.take(dtype, rows, width),
        workspace.take(dtype, rows, config.intermediateSize()));
  }

  /**
   * The sizes that the tensors of a file without a config have: as in the published model, a head
   * has 64 channels.
   *
   * @throws UserException if tensors are missing or the sizes do not fit each other
   */
  static QFormerConfig sizes(Checkpoint checkpoint) {
    WeightReader in = new WeightReader(checkpoint, "");
    WeightReader bert = in.within("Qformer.bert.encoder.layer.");
    int queries = in.dimension("query_tokens", 3, 1);
    int width = in.dimension("query_tokens", 3, 2);
    int layers = 0;
    while (bert.has(layers + ".attention.self.query.weight")) {
      layers++;
    }
    if (width % PUBLISHED_HEAD != 0) {
      throw in.problem(
          "query_tokens",
          "has " + width + " channels, which is not a multiple of " + PUBLISHED_HEAD);
    }
    int inner = bert.dimension("0.intermediate_query.dense.weight", 2, 0);
    return new QFormerConfig(queries, width, layers, width / PUBLISHED_HEAD, inner, PUBLISHED_EPS);
  }
}
