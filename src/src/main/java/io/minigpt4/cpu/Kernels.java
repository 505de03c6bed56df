package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * The inner loops of {@link CpuOps}. {@link ScalarKernels} is the plain truth that tests compare
 * against, {@link VectorKernels} the fast twin. A {@code long} is the raw address of float32 data
 * (unless a {@link DType} says otherwise), a {@code float[]} with an index is packed or scratch
 * data; C2 makes the best code for those two. Strides and counts are in elements. Nothing is
 * checked here.
 *
 * <p>Large matrix products run on <em>panels</em>: up to {@link #maxVectors} × {@link #lanes} rows
 * of one operand, transposed so that consecutive rows lie in consecutive lanes, {@code [k] [vectors
 * · lanes]}. The other operand is then read one element at a time and broadcast, so it needs no
 * transposition. Where the panel is of queries, softmax over scores needs no horizontal reductions.
 */
interface Kernels {
  /** Rows of the operand that is broadcast which {@link #tile} handles at once. */
  int TILE_ROWS = 4;

  /** A short name for people. */
  String name();

  /** The inner loops of backward passes, of the same make. */
  GradKernels gradients();

  /** The native code that is used where it is faster, or null. */
  @Nullable CpuLibrary library();

  /** The inner loops of products of a few rows. */
  DotKernels products();

  /** The inner loops of products with quantised weights. */
  QuantisedKernels quantised();

  /** Floats per vector. */
  int lanes();

  /** The most vectors that a panel may be wide. */
  int maxVectors();

  /** Converts {@code n} elements of type F32, F16 or BF16 to float32, exactly. */
  void toFloats(DType type, long from, float[] to, int at, int n);

  /** Converts {@code n} floats to F32, F16 or BF16, rounding to nearest even. */
  void fromFloats(DType type, float[] from, int at, long to, int n);

  /** to[at + c·toStride + r] = from[r·fromStride + c] for r &lt; rows, c &lt; columns. */
  void pack(long from, long fromStride, int rows, int columns, float[] to, int at, int toStride);

  /** to[c·toStride + r] = from[at + r·fromStride + c] for r &lt; rows, c &lt; columns. */
  void unpack(float[] from, int at, int fromStride, int rows, int columns, long to, long toStride);

  /**
   * acc[accAt + r·width + c] (+)= Σ_i w[wAt + r·wStride + i] · x[xAt + i·width + c] for r &lt;
   * {@link #TILE_ROWS}, i &lt; k, c &lt; width = vectors · lanes.
   *
   * @param add whether to add to what {@code acc} holds or to overwrite it
   */
  void tile(
      int vectors,
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add);

  /**
   * scores[at + j] = Σ_c x[xAt + c] · rows[j·width + c] for j &lt; n, c &lt; width.
   *
   * @param rows address of float32 rows without gaps
   * @param scratch at least 16 · (n + 15) floats
   */
  void rowDots(
      float[] x, int xAt, long rows, int n, int width, float[] scores, int at, float[] scratch);

  /** out[outAt + c] += Σ_j p[at + j] · rows[j·width + c] for j &lt; n, c &lt; width. */
  void addWeightedRows(float[] p, int at, long rows, int n, int width, float[] out, int outAt);

  /**
   * One step of the online softmax (Milakov and Gimelshein 2018) down the columns of a panel of
   * scores x[at …] [n][width], width a multiple of {@link #lanes}: replaces each score by exp(s −
   * max) with the new running maximum. {@code state} holds from {@code stateAt} on, each [width],
   * the running maxima, the running sums, and, as a result, what earlier sums of the column must be
   * multiplied by.
   */
  void softmaxColumns(float[] x, int at, int n, int width, float[] state, int stateAt);

  /**
   * x[i] = exp(x[i] − max x) / Σ exp(x − max x) for at ≤ i &lt; at + n.
   *
   * @return log Σ exp(x)
   */
  double softmax(float[] x, int at, int n);

  /** x[at + r·width + c] *= factor[factorAt + c] for r &lt; rows, c &lt; width. */
  void scaleColumns(float[] x, int at, int rows, int width, float[] factor, int factorAt);

  /** x[i] *= factor for at ≤ i &lt; at + n. */
  void scale(float[] x, int at, int n, float factor);

  /** x[i] += y[i]. */
  void add(long x, long y, int n);

  /** x[i] = gelu(x[i] + y[i]). */
  void addGelu(long x, long y, int n);

  /** out[i] = silu(gate[i]) · up[i]. */
  void siluMul(long gate, long up, long out, int n);

  /** out = (x − mean) / sqrt(variance + eps) · weight + bias over n elements. */
  void layerNorm(long x, long weight, long bias, float eps, long out, int n);

  /** out = x / sqrt(mean(x²) + eps) · weight over n elements. */
  void rmsNorm(long x, long weight, float eps, long out, int n);

  /**
   * Rotates pairs (x[i], x[i + half]) by angles whose cosines and sines are table[at + i] and
   * table[at + half + i], i &lt; half.
   */
  void rotate(long x, float[] table, int at, int half);
}
