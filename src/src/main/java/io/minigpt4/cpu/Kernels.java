package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;

/**
 * The inner loops of {@link CpuOps}. {@link ScalarKernels} is the plain truth that tests compare
 * against, {@link VectorKernels} the fast twin. Arguments are raw addresses of float32 data (unless
 * a {@link DType} says otherwise), strides and counts in elements; nothing is checked here.
 *
 * <p>Large matrix products run on <em>panels</em>: up to {@link #maxVectors} × {@link #lanes} rows
 * of the left operand, transposed so that consecutive rows lie in consecutive lanes, {@code [k]
 * [vectors · lanes]}. The right operand is then read one element at a time and broadcast, so it
 * needs no transposition, and softmax over a panel of scores needs no horizontal reductions.
 */
interface Kernels {
  /** Right-hand rows that {@link #tile} handles at once. */
  int TILE_ROWS = 4;

  /** A short name for people, e.g. {@code AVX-512}. */
  String name();

  /** Floats per vector. */
  int lanes();

  /** The most vectors that a panel may be wide. */
  int maxVectors();

  /** Converts {@code n} elements of type F32, F16 or BF16 to float32, exactly. */
  void toFloat(DType type, long from, long to, int n);

  /** Converts {@code n} floats to F32, F16 or BF16, rounding to nearest even. */
  void fromFloat(DType type, long from, long to, int n);

  /**
   * acc[r][·] (+)= Σ_i w[r·wRow + i·wStep] · x[i][·] for r &lt; {@link #TILE_ROWS}, i &lt; k, with
   * rows of {@code vectors · lanes} floats.
   *
   * @param add whether to add to what {@code acc} holds or to overwrite it
   */
  void tile(int vectors, long x, long w, long wRow, long wStep, int k, long acc, boolean add);

  /**
   * out[i·outStride + j] = Σ_k x[i·xStride + k] · w[j·wStride + k] for i &lt; m, j &lt; n, with
   * vectors along k: the shape of decoding, where every weight is used only a few times.
   *
   * @param type of the elements of {@code w}
   */
  void dots(
      DType type,
      long x,
      long xStride,
      int m,
      long w,
      long wStride,
      int n,
      int k,
      long out,
      long outStride);

  /** out[j] += Σ_i p[i] · v[i·vStride + j] for i &lt; n, j &lt; width. */
  void addWeightedRows(DType type, long p, int n, long v, long vStride, int width, long out);

  /** to[c·toStride + r] = from[r·fromStride + c] for r &lt; rows, c &lt; columns. */
  void transpose(long from, long fromStride, long to, long toStride, int rows, int columns);

  /**
   * One step of the online softmax (Milakov and Gimelshein 2018) down the columns of a panel of
   * scores s [n][width], width a multiple of {@link #lanes}: replaces each score by exp(s − max)
   * with the new running maximum, updates max and sum, and leaves in {@code factor} what earlier
   * sums of this column must be multiplied by.
   */
  void softmaxColumns(long s, int n, int width, long max, long sum, long factor);

  /** s[i] = exp(s[i] − max s) / Σ exp(s − max s) for i &lt; n. */
  void softmax(long s, int n);

  /** x[r][c] *= factor[c] for r &lt; rows, c &lt; width. */
  void scaleColumns(long x, int rows, int width, long factor);

  /** x[i] *= factor. */
  void scale(long x, int n, float factor);

  /** x[i] += y[i]. */
  void add(long x, long y, int n);

  /** x[i] += value. */
  void addConstant(long x, int n, float value);

  /** x[i] = gelu(x[i] + value). */
  void addConstantGelu(long x, int n, float value);

  /** x[i] = gelu(x[i] + y[i]). */
  void addGelu(long x, long y, int n);

  /** out[i] = silu(gate[i]) · up[i]. */
  void siluMul(long gate, long up, long out, int n);

  /** out = (x − mean) / sqrt(variance + eps) · weight + bias over n elements. */
  void layerNorm(long x, long weight, long bias, float eps, long out, int n);

  /** out = x / sqrt(mean(x²) + eps) · weight over n elements. */
  void rmsNorm(long x, long weight, float eps, long out, int n);

  /**
   * Rotates pairs (x[i], x[i + half]) by the angles with the given cosines and sines, i &lt; half.
   */
  void rotate(long x, long cos, long sin, int half);
}
