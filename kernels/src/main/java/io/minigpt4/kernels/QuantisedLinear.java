package io.minigpt4.kernels;

import org.jspecify.annotations.Nullable;

/**
 * Linear layers over weights in 8 and 4 bits, float16 rows x: products of 1 to 8 rows, bound by the
 * memory that the weights take, and weights made float16 again for products of more.
 *
 * <p>8 bits: signed bytes [n, k] and float32 scales [n]. 4 bits: rows of blocks of 16 · group
 * elements, 8 · group bytes, and bfloat16 scales, 16 a block; {@code gemv_quantised.cu} describes
 * the order of elements.
 */
public final class QuantisedLinear {
  private static final int THREADS = 256;
  private static final int ROWS = 16;
  private static final int GROUPS = 16;
  private static final int WORD_ELEMENTS = 8;
  private static final int BYTES = 16;

  private final KernelLibrary library;
  private @Nullable Kernel gemv8;
  private @Nullable Kernel gemv4;
  private @Nullable Kernel group8;
  private @Nullable Kernel group4;
  private @Nullable Kernel dequantise8;
  private @Nullable Kernel dequantise4;

  /**
   * @param library where the kernels come from
   */
  public QuantisedLinear(KernelLibrary library) {
    this.library = library;
  }

  /**
   * A weight matrix.
   *
   * @param elements address, a multiple of 16
   * @param scales address, a multiple of 8
   * @param group elements that share a scale in 4 bits, a multiple of 8; 0 for 8 bits
   * @param n rows
   * @param k elements of a row
   */
  public record Weight(long elements, long scales, int group, int n, int k) {
    private boolean isBytes() {
      return group == 0;
    }

    /** None of its rows, to stand where there is no matrix. */
    public Weight withoutRows() {
      return new Weight(elements, scales, group, 0, k);
    }

    /** Whether one launch can take both. */
    public boolean goesWith(Weight other) {
      return group == other.group && k == other.k;
    }
  }

  /**
   * Whether {@link #gemv} takes these: 1 to 8 rows; 8 bits: k a multiple of 16, rows of x at
   * multiples of 16 bytes; 4 bits: k a multiple of 4, rows of x at multiples of 8 bytes.
   *
   * @param x address of x
   * @param xStride elements from row to row of x
   */
  public static boolean accepts(long x, long xStride, int batch, Weight weight) {
    int alignment = weight.isBytes() ? 8 : 4;
    return batch >= 1
        && batch <= Gemv.MAX_BATCH
        && weight.k() >= 1
        && weight.k() % (weight.isBytes() ? BYTES : 4) == 0
        && (batch == 1 || xStride % alignment == 0)
        && x % (2L * alignment) == 0
        && weight.elements() % 16 == 0
        && weight.scales() % 8 == 0;
  }

  /**
   * out[b][r] = activation(Σ x[b][i] · weight[r][i] + bias[r]).
   *
   * @param x address of [batch, k] float16
   * @param xStride elements from row to row of x
   * @param batch 1 to 8
   * @param bias address of [n], or 0 for none
   * @param biasElement type of bias
   * @param out address of [batch, n]
   * @param outElement type of out
   * @param outStride elements from row to row of out
   * @throws IllegalArgumentException if {@link #accepts} says no
   */
  public void gemv(
      long stream,
      long x,
      long xStride,
      int batch,
      Weight weight,
      long bias,
      Element biasElement,
      Gemv.Activation activation,
      long out,
      Element outElement,
      long outStride) {
    if (!accepts(x, xStride, batch, weight)) {
      throw new IllegalArgumentException(
          "quantised gemv of %d rows at 0x%x (stride %d) and %s"
              .formatted(batch, x, xStride, weight));
    }
    if (weight.n() == 0) {
      return;
    }
    Kernel kernel = weight.isBytes() ? gemv8() : gemv4();
    kernel.with(x).with(xStride).with(batch).with(weight.elements()).with(weight.scales());
    if (!weight.isBytes()) {
      kernel.with(weight.group());
    }
    kernel
        .with(weight.n())
        .with(weight.k())
        .with(bias)
        .with(biasElement.code())
        .with(activation.code())
        .with(out)
        .with(outElement.code())
        .with(outStride)
        .launch(Grids.ceilDiv(weight.n(), ROWS), 1, THREADS, stream);
  }

  /**
   * Up to three products of the same rows in one launch, without bias, to float16: out_i[b][r] = Σ
   * x[b][j] · weight_i[r][j].
   *
   * @param x address of [batch, k] float16
   * @param xStride elements from row to row of x
   * @param batch 1 to 8
   * @param weight0 of the same k, width and group as the others
   * @param out0 address of [batch, weight0.n], likewise the others
   * @param stride0 elements from row to row of out0, likewise the others
   * @param weight2 of no rows if there are only two
   * @throws IllegalArgumentException if {@link #accepts} says no to one of the weights, or they
   *     differ
   */
  public void gemvGroup(
      long stream,
      long x,
      long xStride,
      int batch,
      Weight weight0,
      long out0,
      long stride0,
      Weight weight1,
      long out1,
      long stride1,
      Weight weight2,
      long out2,
      long stride2) {
    if (!accepts(x, xStride, batch, weight0)
        || !accepts(x, xStride, batch, weight1)
        || !accepts(x, xStride, batch, weight2)
        || !weight0.goesWith(weight1)
        || !weight0.goesWith(weight2)) {
      throw new IllegalArgumentException(
          "quantised gemv of %d rows at 0x%x (stride %d) and %s, %s, %s"
              .formatted(batch, x, xStride, weight0, weight1, weight2));
    }
    long blocks =
        Grids.ceilDiv(weight0.n(), ROWS)
            + Grids.ceilDiv(weight1.n(), ROWS)
            + Grids.ceilDiv(weight2.n(), ROWS);
    if (blocks == 0) {
      return;
    }
    Kernel kernel = weight0.isBytes() ? group8() : group4();
    kernel.with(x).with(xStride).with(batch).with(weight0.k());
    if (!weight0.isBytes()) {
      kernel.with(weight0.group());
    }
    product(kernel, weight0, out0, stride0);
    product(kernel, weight1, out1, stride1);
    product(kernel, weight2, out2, stride2);
    kernel.launch(blocks, 1, THREADS, stream);
  }

  private static void product(Kernel kernel, Weight weight, long out, long stride) {
    kernel.with(weight.elements()).with(weight.scales()).with(weight.n()).with(out).with(stride);
  }

  /**
   * Rows of a weight as float16.
   *
   * @param weight the rows, which may be some of a larger matrix
   * @param out address of [n, k], a multiple of 16
   */
  public void dequantise(long stream, Weight weight, long out) {
    if (weight.n() == 0 || weight.k() == 0) {
      return;
    }
    long items;
    Kernel kernel = weight.isBytes() ? dequantise8() : dequantise4();
    kernel.with(weight.elements()).with(weight.scales());
    if (weight.isBytes()) {
      items = weight.n() * Grids.ceilDiv(weight.k(), BYTES);
    } else {
      kernel.with(weight.group());
      long blocks = Grids.ceilDiv(weight.k(), (long) GROUPS * weight.group());
      items = weight.n() * blocks * GROUPS * weight.group() / WORD_ELEMENTS;
    }
    kernel
        .with(out)
        .with((long) weight.n())
        .with(weight.k())
        .launch(Grids.ceilDiv(items, THREADS), 1, THREADS, stream);
  }

  private Kernel gemv8() {
    Kernel found = gemv8;
    if (found == null) {
      found = library.kernel("gemv_quantised", "mg_gemv_q8", 13);
      gemv8 = found;
    }
    return found;
  }

  private Kernel gemv4() {
    Kernel found = gemv4;
    if (found == null) {
      found = library.kernel("gemv_quantised", "mg_gemv_q4", 14);
      gemv4 = found;
    }
    return found;
  }

  private Kernel group8() {
    Kernel found = group8;
    if (found == null) {
      found = library.kernel("gemv_quantised", "mg_gemv_q8_group", 19);
      group8 = found;
    }
    return found;
  }

  private Kernel group4() {
    Kernel found = group4;
    if (found == null) {
      found = library.kernel("gemv_quantised", "mg_gemv_q4_group", 20);
      group4 = found;
    }
    return found;
  }

  private Kernel dequantise8() {
    Kernel found = dequantise8;
    if (found == null) {
      found = library.kernel("dequantise", "mg_dequantise_q8", 5);
      dequantise8 = found;
    }
    return found;
  }

  private Kernel dequantise4() {
    Kernel found = dequantise4;
    if (found == null) {
      found = library.kernel("dequantise", "mg_dequantise_q4", 6);
      dequantise4 = found;
    }
    return found;
  }
}
