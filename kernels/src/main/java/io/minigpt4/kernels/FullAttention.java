package io.minigpt4.kernels;

/**
 * Full (non-causal) attention on tensor cores, softmax(scale · q kᵀ) v, for each of several items
 * and heads: the ViT's (257 rows, heads of 88) and the Q-Former's (heads of 64; 32 rows over 32 or
 * 257). Scores stay in registers (FlashAttention, Dao et al. 2022 and 2023).
 *
 * <p>Operands are F16 or BF16, sums and the softmax float32; probabilities are rounded to the
 * operands' type for the second product.
 */
public final class FullAttention {
  private final AttentionKernels kernels;

  /**
   * @param library where the kernels come from
   */
  public FullAttention(KernelLibrary library) {
    kernels =
        new AttentionKernels(
            library, "attention_full", "mg_attention_full", 12, true, 32, 64, 96, 128);
  }

  /**
   * Launches it. Addresses are multiples of 16 bytes, strides multiples of 8 elements. out may not
   * overlap the others.
   *
   * @param element F16 or BF16, the type of all four
   * @param q address of [batch · queries, heads · headDim]
   * @param qStride elements from row to row, likewise the others
   * @param k address of [batch · keys, heads · headDim]
   * @param v address of [batch · keys, heads · headDim]
   * @param out address of [batch · queries, heads · headDim]
   * @param heads up to 65535, as batch
   * @param headDim a multiple of 8, up to 128
   * @param keys at least 1
   * @param scale positive
   * @throws IllegalArgumentException if types, sizes or alignment are others
   */
  public void launch(
      long stream,
      Element element,
      long q,
      long qStride,
      long k,
      long kStride,
      long v,
      long vStride,
      long out,
      long outStride,
      int batch,
      int heads,
      int headDim,
      int queries,
      int keys,
      float scale) {
    int index = kernels.index(element, headDim);
    int width = heads * headDim;
    kernels.checkRows("q", q, qStride, width);
    kernels.checkRows("k", k, kStride, width);
    kernels.checkRows("v", v, vStride, width);
    kernels.checkRows("out", out, outStride, width);
    if (keys < 1 || !(scale > 0)) {
      throw new IllegalArgumentException(
          "attention over " + keys + " keys with scale " + scale + ": both must be positive");
    }
    if (batch == 0 || queries == 0) {
      return;
    }
    kernels
        .of(element, index)
        .with(q)
        .with((int) qStride)
        .with(k)
        .with((int) kStride)
        .with(v)
        .with((int) vStride)
        .with(out)
        .with((int) outStride)
        .with(queries)
        .with(keys)
        .with(headDim)
        .with((float) (scale * AttentionKernels.LOG2_E))
        .launch(
            Grids.ceilDiv(queries, AttentionKernels.TILE),
            heads,
            batch,
            AttentionKernels.THREADS,
            kernels.sharedBytes(index),
            stream);
  }

  /**
   * Each operand moved once; two products of queries × keys × headDim a head.
   *
   * @param element as launched, likewise the others
   */
  public static Work work(
      Element element, int batch, int heads, int headDim, int queries, int keys) {
    long rowBytes = (long) heads * headDim * element.bytes();
    return new Work(
        2L * batch * rowBytes * ((long) queries + keys),
        4L * batch * heads * headDim * queries * keys);
  }
}
