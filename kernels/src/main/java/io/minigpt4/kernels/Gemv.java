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

    /** What kernels call it. */
    int code() {
      return code;
    }
  }

  private static final int THREADS = 256;
  private static final int ROWS = 16;

  private final TypedKernel kernel;
  private final TypedKernel group;

  /**
   * @param library where the kernels come from
   */
  public Gemv(KernelLibrary library) {
    kernel = new TypedKernel(library, "gemv", "mg_gemv", 12);
    group = new TypedKernel(library, "gemv", "mg_gemv_group", 16);
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
    check(element, x, xStride, batch, weight, k);
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

  private static void check(Element element, long x, long xStride, int batch, long weight, int k) {
    if (!accepts(element, x, xStride, batch, weight, k)) {
      throw new IllegalArgumentException(
          "gemv of %d rows, k = %d, %s, at 0x%x (stride %d) and 0x%x"
              .formatted(batch, k, element, x, xStride, weight));
    }
  }

  /**
   * Up to three products of the same rows in one launch, without bias: out_i[b][r] = Σ x[b][j] ·
   * weight_i[r][j].
   *
   * @param element type of x, the weights and the results
   * @param x address of [batch, k]
   * @param xStride elements from row to row of x
   * @param batch 1 to 8
   * @param weight0 address of [n0, k], likewise the others
   * @param out0 address of [batch, n0], likewise the others
   * @param stride0 elements from row to row of out0, likewise the others
   * @param n2 0 if there are only two
   * @throws IllegalArgumentException if {@link #accepts} says no to one of the weights
   */
  public void launchGroup(
      long stream,
      Element element,
      long x,
      long xStride,
      int batch,
      int k,
      long weight0,
      int n0,
      long out0,
      long stride0,
      long weight1,
      int n1,
      long out1,
      long stride1,
      long weight2,
      int n2,
      long out2,
      long stride2) {
    check(element, x, xStride, batch, weight0 | weight1 | weight2, k);
    long blocks = Grids.ceilDiv(n0, ROWS) + Grids.ceilDiv(n1, ROWS) + Grids.ceilDiv(n2, ROWS);
    if (blocks == 0) {
      return;
    }
    group
        .of(element)
        .with(x)
        .with(xStride)
        .with(batch)
        .with(k)
        .with(weight0)
        .with(n0)
        .with(out0)
        .with(stride0)
        .with(weight1)
        .with(n1)
        .with(out1)
        .with(stride1)
        .with(weight2)
        .with(n2)
        .with(out2)
        .with(stride2)
        .launch(blocks, 1, THREADS, stream);
  }
}
