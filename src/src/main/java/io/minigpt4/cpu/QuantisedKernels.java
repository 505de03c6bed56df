package io.minigpt4.cpu;

/**
 * The inner loops of products with quantised weights. As in {@link Kernels}, a {@code long} is a
 * raw address, and nothing is checked.
 */
interface QuantisedKernels {
  /**
   * Rows of w that go best together: {@link #dots} is slower on what is left of multiples of it.
   */
  int STREAMS = 8;

  /** Elements {@code from} to {@code from + n} of a row as floats. */
  void toFloats(QuantisedRows w, long row, int from, int n, float[] to, int at);

  /**
   * out[i·outStride + j] = Σ_c x[i][c] · w[row + j][c] for i &lt; m ≤ {@link DotKernels#MOST_ROWS},
   * j &lt; n.
   *
   * @param x as {@link #arrange} lays it out
   * @param scratch at least {@link DotKernels#scratch} floats
   */
  void dots(
      QuantisedRows w, Rows x, int m, long row, int n, long out, long outStride, float[] scratch);

  /** Copies m rows of floats in the order in which {@link #dots} wants them. */
  void arrange(QuantisedRows w, long x, long xStride, int m, Rows to);
}
