package io.minigpt4.kernels;

/**
 * LayerNorm (Ba et al. 2016) and RMSNorm (Zhang and Sennrich 2019) over the rows of dense matrices
 * [rows, width], alone and fused with the addition of the residual before. Mean, variance and the
 * result are computed in float32; the fused ones norm the sum as it is before it is rounded to x's
 * type.
 *
 * <p>One block a row, which is read once: 2 · rows · width elements are moved, 4 · rows · width
 * with the residual. Bound by memory, or by the latency of a block where rows are few.
 */
public final class Norms {
  /** The widest row: two chunks for each of 1024 threads. */
  public static final int MAX_WIDTH = 2 * 1024 * Grids.CHUNK;

  private static final int MAX_THREADS = 1024;

  private final TypedKernel layerNorm;
  private final TypedKernel addLayerNorm;
  private final TypedKernel rmsNorm;
  private final TypedKernel addRmsNorm;

  /**
   * @param library where the kernels come from
   */
  public Norms(KernelLibrary library) {
    layerNorm = new TypedKernel(library, "layer_norm", "mg_layer_norm", 8);
    addLayerNorm = new TypedKernel(library, "layer_norm", "mg_add_layer_norm", 9);
    rmsNorm = new TypedKernel(library, "rms_norm", "mg_rms_norm", 6);
    addRmsNorm = new TypedKernel(library, "rms_norm", "mg_add_rms_norm", 7);
  }

  /**
   * out = (x − mean) / sqrt(variance + eps) · weight + bias, per row, with the biased variance.
   *
   * @param element type of x and out
   * @param x address of [rows, width]
   * @param weight address of [width]
   * @param weightElement type of weight
   * @param bias address of [width]
   * @param biasElement type of bias
   * @param out address of [rows, width]; may be x
   * @throws IllegalArgumentException if width exceeds {@link #MAX_WIDTH}
   */
  public void layerNorm(
      long stream,
      Element element,
      long x,
      long weight,
      Element weightElement,
      long bias,
      Element biasElement,
      float eps,
      long out,
      long rows,
      int width) {
    int threads = threads(width);
    if (rows == 0) {
      return;
    }
    layerNorm
        .of(element)
        .with(x)
        .with(weight)
        .with(weightElement.code())
        .with(bias)
        .with(biasElement.code())
        .with(eps)
        .with(out)
        .with(width)
        .launch(rows, 1, threads, stream);
  }

  /**
   * x += delta, then out = layerNorm(x).
   *
   * @param delta address of [rows, width] of x's type
   * @param out may be x, which then holds the norm
   * @throws IllegalArgumentException if width exceeds {@link #MAX_WIDTH}
   */
  public void addLayerNorm(
      long stream,
      Element element,
      long x,
      long delta,
      long weight,
      Element weightElement,
      long bias,
      Element biasElement,
      float eps,
      long out,
      long rows,
      int width) {
    int threads = threads(width);
    if (rows == 0) {
      return;
    }
    addLayerNorm
        .of(element)
        .with(x)
        .with(delta)
        .with(weight)
        .with(weightElement.code())
        .with(bias)
        .with(biasElement.code())
        .with(eps)
        .with(out)
        .with(width)
        .launch(rows, 1, threads, stream);
  }

  /**
   * out = x / sqrt(mean(x²) + eps) · weight, per row.
   *
   * @param element type of x and out
   * @param x address of [rows, width]
   * @param weight address of [width]
   * @param weightElement type of weight
   * @param out address of [rows, width]; may be x
   * @throws IllegalArgumentException if width exceeds {@link #MAX_WIDTH}
   */
  public void rmsNorm(
      long stream,
      Element element,
      long x,
      long weight,
      Element weightElement,
      float eps,
      long out,
      long rows,
      int width) {
    int threads = threads(width);
    if (rows == 0) {
      return;
    }
    rmsNorm
        .of(element)
        .with(x)
        .with(weight)
        .with(weightElement.code())
        .with(eps)
        .with(out)
        .with(width)
        .launch(rows, 1, threads, stream);
  }

  /**
   * x += delta, then out = rmsNorm(x).
   *
   * @param delta address of [rows, width] of x's type
   * @param out may be x, which then holds the norm
   * @throws IllegalArgumentException if width exceeds {@link #MAX_WIDTH}
   */
  public void addRmsNorm(
      long stream,
      Element element,
      long x,
      long delta,
      long weight,
      Element weightElement,
      float eps,
      long out,
      long rows,
      int width) {
    int threads = threads(width);
    if (rows == 0) {
      return;
    }
    addRmsNorm
        .of(element)
        .with(x)
        .with(delta)
        .with(weight)
        .with(weightElement.code())
        .with(eps)
        .with(out)
        .with(width)
        .launch(rows, 1, threads, stream);
  }

  /** A chunk a thread, two where the row is wider than a block. */
  static int threads(int width) {
    if (width < 1 || width > MAX_WIDTH) {
      throw new IllegalArgumentException(
          "norms take rows of 1 to " + MAX_WIDTH + " elements, not of " + width);
    }
    long chunks = Grids.chunks(width);
    return (int) Math.min(MAX_THREADS, Grids.ceilDiv(chunks, Grids.WARP) * Grids.WARP);
  }
}
