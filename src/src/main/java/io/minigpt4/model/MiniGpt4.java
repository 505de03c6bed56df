package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.image.ImageProcessor;
import io.minigpt4.image.Picture;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import io.minigpt4.text.Tokenizer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The whole of MiniGPT-4 (Zhu et al. 2023): a vision transformer, its final norm, a Q-Former and a
 * projection that turn an image into rows of the language model's input; the language model; its
 * tokenizer.
 *
 * <p>Not safe for use by several threads.
 */
public final class MiniGpt4 implements AutoCloseable {
  /** The epsilon of {@code ln_vision}, whatever the vision transformer's own. */
  private static final float NORM_EPS = 1e-5f;

  private final String name;
  private final Ops ops;
  private final List<Checkpoint> files;
  private final VisionTransformer vision;
  private final Norm visionNorm;
  private final QFormer qformer;
  private final Projection projection;
  private final Llama llama;
  private final Tokenizer tokenizer;
  private final ImageProcessor images;

  MiniGpt4(
      String name,
      List<Checkpoint> files,
      VisionTransformer vision,
      Norm visionNorm,
      QFormer qformer,
      Projection projection,
      Llama llama,
      Tokenizer tokenizer) {
    this.name = name;
    this.ops = llama.ops();
    this.files = files;
    this.vision = vision;
    this.visionNorm = visionNorm;
    this.qformer = qformer;
    this.projection = projection;
    this.llama = llama;
    this.tokenizer = tokenizer;
    this.images = new ImageProcessor(vision.config().imageSize());
  }

  /** What a person calls this model, e.g. {@code demo}. */
  public String name() {
    return name;
  }

  public Ops ops() {
    return ops;
  }

  public VisionTransformer vision() {
    return vision;
  }

  public QFormer qformer() {
    return qformer;
  }

  public Projection projection() {
    return projection;
  }

  public Llama llama() {
    return llama;
  }

  public Tokenizer tokenizer() {
    return tokenizer;
  }

  /** Turns pictures into the pixels that {@link #encode(Tensor, Tensor)} wants. */
  public ImageProcessor imageProcessor() {
    return images;
  }

  /** The same model with another projection; the files belong to both. */
  public MiniGpt4 withProjection(Projection other) {
    return new MiniGpt4(name, files, vision, visionNorm, qformer, other, llama, tokenizer);
  }

  /** Rows of the language model's input that an image becomes. */
  public int rowsPerImage() {
    return qformer.config().numQueryTokens();
  }

  /**
   * Encodes a picture as in chat and evaluation.
   *
   * @return [rowsPerImage, hiddenSize of the language model] floats in host memory, freed when
   *     nobody refers to them any more
   */
  public MemorySegment encode(Picture picture) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    int size = images.size();
    int hidden = llama.config().hiddenSize();
    MemorySegment features =
        Arena.ofAuto().allocate((long) Float.BYTES * rowsPerImage() * hidden, Float.BYTES);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(3L * size * size * Float.BYTES, 64);
      images.evaluation(picture, Tensor.of(DType.F32, host, 3, size, size));
      Tensor pixels = workspace.take(DType.F32, 1, 3, size, size);
      ops.write(host, pixels);
      Tensor rows = workspace.take(ops.activation(), rowsPerImage(), hidden);
      encode(pixels, rows);
      ops.read(rows, features);
    } finally {
      workspace.release(mark);
    }
    return features;
  }

  /**
   * Encodes images.
   *
   * @param pixels [B, 3, S, S] F32, normalised
   * @param out [B · rowsPerImage, hiddenSize of the language model]
   */
  public void encode(Tensor pixels, Tensor out) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    Tensor queries =
        workspace.take(
            ops.activation(), pixels.dim(0) * rowsPerImage(), qformer.config().hiddenSize());
    queries(pixels, queries);
    projection.forward(queries, out);
    workspace.release(mark);
  }

  /**
   * The part of encoding that training leaves alone: everything before the projection.
   *
   * @param pixels [B, 3, S, S] F32, normalised
   * @param out [B · rowsPerImage, hiddenSize of the Q-Former]
   */
  public void queries(Tensor pixels, Tensor out) {
    Workspace workspace = ops.workspace();
    long mark = workspace.mark();
    int count = (int) pixels.dim(0);
    Tensor patches =
        workspace.take(
            ops.activation(),
            (long) count * vision.config().numTokens(),
            vision.config().hiddenSize());
    vision.forward(pixels, patches);
    ops.layerNorm(patches, visionNorm.weight(), visionNorm.bias(), NORM_EPS, patches);
    qformer.forward(patches, count, out);
    workspace.release(mark);
  }

  /** Releases the files. The device belongs to whoever made it. */
  @Override
  public void close() {
    files.forEach(Checkpoint::close);
  }
}
