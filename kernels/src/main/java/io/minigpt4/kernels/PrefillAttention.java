package io.minigpt4.kernels;

/**
 * Causal attention on tensor cores of many rows of several sequences over the paged key/value
 * cache, rows' own keys and values included. Query head h reads key/value head h · kvHeads / heads.
 *
 * <p>Sequences are described in device memory by four int32 each, {rows, start, past, firstPage}:
 * rows [start, start + rows) of q are the tokens that follow {@code past} cached ones, and the
 * sequence's pages begin at slot {@code firstPage} of an array of 64-bit addresses. A page of 64
 * tokens is [layers][2: key, value][kvHeads][64][headDim]. So a captured launch can be replayed
 * with other sequences of at most as many rows.
 */
public final class PrefillAttention {
  /** Tokens of a page. */
  static final int PAGE = 64;

  private final AttentionKernels kernels;

  /**
   * @param library where the kernels come from
   */
  public PrefillAttention(KernelLibrary library) {
    kernels =
        new AttentionKernels(
            library, "attention_prefill", "mg_attention_prefill", 13, true, 32, 64, 128);
  }

  /**
   * Launches it, scores scaled by headDim^−0.5. Addresses are multiples of 16 bytes, strides of 8
   * elements.
   *
   * @param element F16 or BF16, the type of q, out and the cache
   * @param q address of [rows of all sequences, heads · headDim]
   * @param qStride elements from row to row, likewise outStride
   * @param out address of what is like q and does not overlap it
   * @param sequences address of int32 [count][4]
   * @param count number of sequences, up to 65535
   * @param pages address of the array of page addresses
   * @param layer which layer's keys and values
   * @param heads a multiple of kvHeads, up to 65535
   * @param headDim a multiple of 8, up to 128
   * @param maxRows no sequence has more rows: the grid is made for that many
   * @param minRows sequences of fewer rows are left out, 2 where {@link DecodeAttention} takes them
   * @throws IllegalArgumentException if types, sizes or alignment are others
   */
  public void launch(
      long stream,
      Element element,
      long q,
      long qStride,
      long out,
      long outStride,
      long sequences,
      int count,
      long pages,
      int layer,
      int heads,
      int kvHeads,
      int headDim,
      int maxRows,
      int minRows) {
    int index = kernels.index(element, headDim);
    kernels.checkHeads(heads, kvHeads);
    kernels.checkRows("q", q, qStride, heads * headDim);
    kernels.checkRows("out", out, outStride, heads * headDim);
    if (count == 0 || maxRows == 0) {
      return;
    }
    kernels
        .of(element, index)
        .with(q)
        .with((int) qStride)
        .with(out)
        .with((int) outStride)
        .with(sequences)
        .with(pages)
        .with(keyOffset(layer, kvHeads, headDim))
        .with(keyOffset(layer, kvHeads, headDim) + (long) kvHeads * PAGE * headDim)
        .with(minRows)
        .with(heads)
        .with(kvHeads)
        .with(headDim)
        .with((float) (AttentionKernels.LOG2_E / Math.sqrt(headDim)))
        .launch(
            Grids.ceilDiv(maxRows, AttentionKernels.TILE),
            heads,
            count,
            AttentionKernels.THREADS,
            kernels.sharedBytes(index),
            stream);
  }

  /** Elements from a page's start to a layer's keys; its values follow them. */
  static long keyOffset(int layer, int kvHeads, int headDim) {
    return 2L * layer * kvHeads * PAGE * headDim;
  }

  /**
   * Of one sequence: rows in and out, keys and values moved once; two products of headDim for each
   * pair of a row and a key that it sees.
   *
   * @param element as launched, likewise the others
   */
  public static Work work(
      Element element, int heads, int kvHeads, int headDim, int rows, int past) {
    long elements = 2L * rows * heads * headDim + 2L * ((long) past + rows) * kvHeads * headDim;
    long pairs = (long) rows * past + (long) rows * (rows + 1) / 2;
    return new Work(elements * element.bytes(), 4L * heads * headDim * pairs);
  }
}
