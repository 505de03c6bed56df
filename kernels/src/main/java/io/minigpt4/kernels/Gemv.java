package io.minigpt4.kernels;

/**
 * Linear layers over few rows: out = x · weightᵀ + bias for 1 to 8 rows x, as a decode step has
 * them. Bound by memory: moves the weight's 2 · n · k bytes once; a batch of 8 takes as long as one
 * row. Operands have one type, sums are in float32 and do not depend on the device.
 */
public final class Gemv {
  /** The most rows of x. */
  public static final int MAX_BATCH = 8;

  /** What is done to a sum before it is stored. */
  public enum Activation {
    /** Nothing. */
    NONE(0),
    /** The exact GELU, x/2 · (1 + erf(x/√2)). */
    GELU(1);

    private final int code;

    Activation(int code) {
      this.code = code;
    }
  }

  private static final int THREADS = 256;
  private static final int ROWS = 16;

  private final TypedKernel kernel;

  /**
   * @param library where the kernels come from
   */
  public Gemv(KernelLibrary library) {
    kernel = new TypedKernel(library, "gemv", "mg_gemv", 12);
  }

  /**
   * Whether {@link #launch} takes these: 1 to 8 rows, F16 or BF16, k a multiple of 8, rows at
   * multiples of 16 bytes.
   *
   * @param element type of x and weight
   * @param x address of x
   * @param xStride elements from row to row of x
   * @param weight address of weight
   */
  public static boolean accepts(
      Element element, long x, long xStride, int batch, long weight, int k) {
    return element != Element.F32
        && batch >= 1
        && batch <= MAX_BATCH
        && k >= 1
        && k % Grids.CHUNK == 0
        && (batch == 1 || xStride % Grids.CHUNK == 0)
        && x % 16 == 0
        && weight % 16 == 0;
  }

  /**
   * out[b][r] = activation(Σ x[b][i] · weight[r][i] + bias[r]).
   *
   * @param element type of x and weight
   * @param x address of [batch, k]
   * @param xStride elements from row to row of x
   * @param batch 1 to 8
   * @param weight address of [n, k]
   * @param bias address of [n], or 0 for none
   * @param biasElement type of bias
   * @param out address of [batch, n]
   * @param outElement type of out, which may differ: float32 logits, for example
   * @param outStride elements from row to row of out
   * @throws IllegalArgumentException if {@link #accepts} says no
   */
  public void launch(
      long stream,
      Element element,
      long x,
      long xStride,
      int batch,
      long weight,
      int n,
      int k,
      long bias,
      Element biasElement,
      Activation activation,
      long out,
      Element outElement,
      long outStride) {
    if (!accepts(element, x, xStride, batch, weight, k)) {
      throw new IllegalArgumentException(
          "gemv of %d rows, k = %d, %s, at 0x%x (stride %d) and 0x%x"
              .formatted(batch, k, element, x, xStride, weight));
    }
    if (n == 0) {
      return;
    }
    kernel
        .of(element)
        .with(x)
        .with(xStride)
        .with(batch)
        .with(weight)
        .with(n)
        .with(k)
        .with(bias)
        .with(biasElement.code())
        .with(activation.code)
        .with(out)
        .with(outElement.code())
        .with(outStride)
        .launch(Grids.ceilDiv(n, ROWS), 1, THREADS, stream);
  }
}
