package io.minigpt4.kernels;

/**
 * RoPE with KV-cache append: rotates queries in place and keys by their positions (rotate-half, Su
 * et al. 2021: pairs i and i + D/2), angles in float32, and stores keys and values in the pages of
 * their sequences. A page is [layers][2: key, value][kvHeads][64 tokens][headDim].
 *
 * <p>What a step does differently from the one before is read on the device, so that a captured
 * launch can be replayed: {@code sequences}, int32 [count][4], holds for each sequence the number
 * of its rows, its first row, how many tokens are cached before them, and the slot of its first
 * page in {@code pages}, an array of 64-bit device addresses. Rows that belong to no sequence are
 * left alone.
 *
 * <p>Moves (2 · heads + 4 · kvHeads) · headDim elements a row; bound by memory, or by latency where
 * rows are few.
 */
public final class RopeAppend {
  private static final int PAGE_TOKENS = 64;
  private static final int THREADS = 256;
  private static final int MAX_HEAD_DIM = 4096;

  private final TypedKernel kernel;

  /**
   * @param library where the kernels come from
   */
  public RopeAppend(KernelLibrary library) {
    kernel = new TypedKernel(library, "rope_append", "mg_rope_append", 15);
  }

  /**
   * Launches it.
   *
   * @param element type of q, k, v and of the pages
   * @param q address of [rows, heads · headDim], rotated in place
   * @param qStride elements from row to row, likewise the others
   * @param k address of [rows, kvHeads · headDim], not changed
   * @param v address of [rows, kvHeads · headDim]
   * @param rows of all sequences together
   * @param sequences address of int32 [count][4], see above, at a multiple of 16 bytes
   * @param count number of sequences
   * @param pages address of the array of page addresses
   * @param layer which layer's keys and values
   * @param inverseFrequencies address of float32 [headDim / 2]
   * @throws IllegalArgumentException if headDim is odd, below 2 or above 4096
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
      long rows,
      long sequences,
      int count,
      long pages,
      int layer,
      long inverseFrequencies,
      int heads,
      int kvHeads,
      int headDim) {
    if (headDim < 2 || headDim > MAX_HEAD_DIM || headDim % 2 != 0) {
      throw new IllegalArgumentException("RoPE over heads of " + headDim);
    }
    if (rows == 0) {
      return;
    }
    long layerHalf = (long) kvHeads * PAGE_TOKENS * headDim;
    long items =
        ((long) heads + kvHeads) * Grids.chunks(headDim / 2) + kvHeads * Grids.chunks(headDim);
    kernel
        .of(element)
        .with(q)
        .with(qStride)
        .with(k)
        .with(kStride)
        .with(v)
        .with(vStride)
        .with(sequences)
        .with(count)
        .with(pages)
        .with(2L * layer * layerHalf)
        .with((2L * layer + 1) * layerHalf)
        .with(inverseFrequencies)
        .with(heads)
        .with(kvHeads)
        .with(headDim)
        .launch(rows, Grids.ceilDiv(items, THREADS), 1, THREADS, headDim * Float.BYTES, stream);
  }
}
