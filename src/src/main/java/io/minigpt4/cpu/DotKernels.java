package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;

/**
 * The inner loops of products of a few rows, the shape of decoding, where every weight is used only
 * a few times and its way from memory decides. As in {@link Kernels}, a {@code long} is a raw
 * address, and nothing is checked.
 */
interface DotKernels {
  /** The most left-hand rows. */
  int MOST_ROWS = 64;

  /** Rows of weights whose products are stored together. */
  int COLUMNS = 16;

  /**
   * out[i·outStride + j] = Σ_c x[i·k + c] · w[j·k + c] for i &lt; m ≤ {@link #MOST_ROWS}, j &lt; n,
   * c &lt; k, with vectors along k. A row's results are the same to the last bit for any m.
   *
   * @param type of the elements of {@code w}: F32, F16 or BF16
   * @param x as {@link #arrange} lays it out
   * @param scratch at least {@link #scratch} floats
   */
  void dots(
      DType type, Rows x, int m, long w, int n, int k, long out, long outStride, float[] scratch);

  /** Copies m rows of k floats in the order in which {@link #dots} wants them. */
  void arrange(DType type, long x, long xStride, int m, int k, Rows to);

  /** Floats of scratch that {@link #dots} and {@link QuantisedKernels#dots} need. */
  int scratch();
}
