package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.tensor.Workspace;
import org.jspecify.annotations.Nullable;

/**
 * EVA-CLIP's vision transformer (Fang et al. 2022; Sun et al. 2023): pre-norm blocks over image
 * patches and a class token. Without the final norm, which {@link MiniGpt4} has as {@code
 * ln_vision}.
 *
 * <p>Not safe for use by several threads.
 */
public final class VisionTransformer {
  private static final int PUBLISHED_LAYERS = 39;
  private static final int PUBLISHED_HEAD = 88;
  private static final float PUBLISHED_EPS = 1e-6f;

  private final VisionConfig config;
  private final Ops ops;
  private final Tensor patchWeight;
  private final Tensor patchBias;
  private final Tensor classToken;
  private final Tensor positions;
  private final Block[] blocks;

  /**
   * One block; W is the width, F the feed-forward size.
   *
   * @param qkv W → 3W; the middle third of its bias is zeros
   * @param output W → W
   * @param inner W → F
   * @param outer F → W
   */
  private record Block(
      Norm norm1, Linear qkv, Linear output, Norm norm2, Linear inner, Linear outer) {}

  private VisionTransformer(
      VisionConfig config,
      Ops ops,
      Tensor patchWeight,
      Tensor patchBias,
      Tensor classToken,
      Tensor positions,
      Block[] blocks) {
    this.config = config;
    this.ops = ops;
    this.patchWeight = patchWeight;
    this.patchBias = patchBias;
    this.classToken = classToken;
    this.positions = positions;
    this.blocks = blocks;
  }

  /**
   * Reads a model under EVA's names ({@code patch_embed.proj.weight}, {@code blocks.0.…}). Blocks
   * beyond the config's depth and every other tensor are left alone; positions learned for another
   * grid are resized.
   *
   * @param prefix before every name: empty, or {@code visual_encoder.} in a model folder of ours
   * @throws UserException if a tensor is missing or its shape is not what the config says
   */
  public static VisionTransformer read(
      Checkpoint checkpoint, String prefix, VisionConfig config, Ops ops) {
    WeightReader in = new WeightReader(checkpoint, prefix, ops);
    long width = config.hiddenSize();
    long patch = config.patchSize();
    Block[] blocks = new Block[config.numHiddenLayers()];
    for (int i = 0; i < blocks.length; i++) {
      blocks[i] = readBlock(in.within("blocks." + i + "."), width, config.intermediateSize());
    }
    return new VisionTransformer(
        config,
        ops,
        in.get("patch_embed.proj.weight", width, 3, patch, patch),
        in.get("patch_embed.proj.bias", width),
        in.get("cls_token", 1, 1, width).reshape(width),
        readPositions(in, config),
        blocks);
  }

  private static Block readBlock(WeightReader in, long width, long inner) {
    float[] bias = new float[Math.toIntExact(3 * width)];
    float[] query = in.floats("attn.q_bias", width);
    float[] value = in.floats("attn.v_bias", width);
    System.arraycopy(query, 0, bias, 0, query.length);
    System.arraycopy(value, 0, bias, 2 * value.length, value.length);
    Linear qkv =
        new Linear(
            in.get("attn.qkv.weight", 3 * width, width),
            HostFloats.toDevice(bias, in.ops(), 3 * width));
    return new Block(
        Norm.read(in, "norm1", width),
        qkv,
        Linear.read(in, "attn.proj", width, width),
        Norm.read(in, "norm2", width),
        Linear.read(in, "mlp.fc1", inner, width),
        Linear.read(in, "mlp.fc2", width, inner));
  }

  private static Tensor readPositions(WeightReader in, VisionConfig config) {
    int width = config.hiddenSize();
    int grid = config.imageSize() / config.patchSize();
    int learned = learnedGrid(in);
    long rows = 1 + (long) learned * learned;
    if (learned == grid) {
      return in.get("pos_embed", 1, rows, width).reshape(rows, width);
    }
    float[] table = in.floats("pos_embed", 1, rows, width);
    float[] resized = PositionEmbedding.resize(table, learned, grid, width);
    return HostFloats.toDevice(resized, in.ops(), 1 + (long) grid * grid, width);
  }

  /** Patches along a side that the positions were learned for: they are a table of 1 + g² rows. */
  private static int learnedGrid(WeightReader in) {
    long rows = in.dimension("pos_embed", 3, 1);
    int grid = (int) Math.round(Math.sqrt(rows - 1.0));
    if (grid < 1 || 1 + (long) grid * grid != rows) {
      throw in.problem("pos_embed", "has " + rows + " rows where 1 + a square number is expected");
    }
    return grid;
  }

  /**
   * A model of random weights, for benchmarks and tests.
   *
   * @param dtype of all weights: F32, F16 or BF16
   */
  public static VisionTransformer random(VisionConfig config, DType dtype, long seed, Ops ops) {
    RandomWeights random = new RandomWeights(dtype, seed, ops);
    long width = config.hiddenSize();
    long inner = config.intermediateSize();
    long patch = config.patchSize();
    long grid = config.imageSize() / patch;
    Block[] blocks = new Block[config.numHiddenLayers()];
    for (int i = 0; i < blocks.length; i++) {
      blocks[i] =
          new Block(
              Norm.random(random, width),
              Linear.random(random, 3 * width, width),
              Linear.random(random, width, width),
              Norm.random(random, width),
              Linear.random(random, inner, width),
              Linear.random(random, width, inner));
    }
    return new VisionTransformer(
        config,
        ops,
        random.normal(width, 3, patch, patch),
        random.zeros(width),
        random.zeros(width),
        random.normal(1 + grid * grid, width),
        blocks);
  }

  public VisionConfig config() {
    return config;
  }

  /**
   * Encodes images.
   *
   * @param pixels [B, 3, S, S] F32, normalised
   * @param out [B · numTokens, width] for the features after the last block
   */
  public void forward(Tensor pixels, Tensor out) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    int images = (int) pixels.dim(0);
    int rows = images * config.numTokens();
    int width = config.hiddenSize();
    float eps = config.layerNormEps();
    Tensor normed = workspace.take(ops.activation(), rows, width);
    Tensor delta = workspace.take(ops.activation(), rows, width);
    Tensor qkv = workspace.take(ops.activation(), rows, 3L * width);
    Tensor inner = workspace.take(ops.activation(), rows, config.intermediateSize());
    Tensor query = qkv.columns(0, width);
    Tensor key = qkv.columns(width, 2L * width);
    Tensor value = qkv.columns(2L * width, 3L * width);
    float scale = (float) (1 / Math.sqrt((double) width / config.numAttentionHeads()));

    ops.patchEmbed(pixels, patchWeight, patchBias, classToken, positions, out);
    for (int i = 0; i < blocks.length; i++) {
      Block block = blocks[i];
      Norm norm1 = block.norm1;
      if (i == 0) {
        ops.layerNorm(out, norm1.weight(), norm1.bias(), eps, normed);
      } else {
        ops.addLayerNorm(out, delta, norm1.weight(), norm1.bias(), eps, normed);
      }
      block.qkv.apply(ops, normed, qkv);
      ops.attention(query, key, value, images, config.numAttentionHeads(), scale, normed);
      block.output.apply(ops, normed, delta);
      ops.addLayerNorm(out, delta, block.norm2.weight(), block.norm2.bias(), eps, normed);
      ops.linearGelu(normed, block.inner.weight(), block.inner.bias(), inner);
      block.outer.apply(ops, inner, delta);
    }
    ops.add(out, delta);
    workspace.release(mark);
  }

  /**
   * The sizes that the tensors of a file without a config have: as in the published model, a head
   * has 88 channels, and blocks after the 39th are not used.
   *
   * @param imageSize side of the images in pixels, or null for the size that the positions were
   *     learned for
   * @throws UserException if tensors are missing or the sizes do not fit each other
   */
  static VisionConfig sizes(Checkpoint checkpoint, String prefix, @Nullable Integer imageSize) {
    WeightReader in = new WeightReader(checkpoint, prefix);
    int width = in.dimension("patch_embed.proj.weight", 4, 0);
    int patch = in.dimension("patch_embed.proj.weight", 4, 2);
    int layers = 0;
    while (layers < PUBLISHED_LAYERS && in.has("blocks." + layers + ".attn.qkv.weight")) {
      layers++;
    }
    if (layers == 0) {
      throw in.problem("blocks.0.attn.qkv.weight", "is missing");
    }
    if (width % PUBLISHED_HEAD != 0) {
      throw in.problem(
          "patch_embed.proj.weight",
          "makes " + width + " channels, which is not a multiple of " + PUBLISHED_HEAD);
    }
    int size = imageSize == null ? patch * learnedGrid(in) : imageSize;
    if (size < patch || size % patch != 0) {
      throw new UserException(
          "image_size " + size + " is not a multiple of the vision model's patch size " + patch);
    }
    int inner = in.dimension("blocks.0.mlp.fc1.weight", 2, 0);
    return new VisionConfig(
        size, patch, width, layers, width / PUBLISHED_HEAD, inner, PUBLISHED_EPS);
  }
}
