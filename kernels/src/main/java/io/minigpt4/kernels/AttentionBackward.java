package io.minigpt4.kernels;

/**
 * The way back through causal attention, on tensor cores and in float16, for sequences of which
 * nothing was cached before their rows (past = 0). With P the probabilities, computed anew from the
 * queries and the cached keys (Dao et al. 2022): dV = Pᵀ dOut, dS = P ∘ (dOut Vᵀ − Σ P ∘ dOut Vᵀ),
 * dQ = scale · dS K, dK = scale · dSᵀ Q. Sequences and pages are described as for {@link
 * PrefillAttention}.
 *
 * <p>One kernel for dQ, which leaves two numbers for each row and head to one for dK and dV.
 */
public final class AttentionBackward {
  private final AttentionKernels queries;
  private final AttentionKernels keys;

  /**
   * @param library where the kernels come from
   */
  public AttentionBackward(KernelLibrary library) {
    queries = kernels(library, "mg_attention_backward_query", 16);
    keys = kernels(library, "mg_attention_backward_key", 18);
  }

  private static AttentionKernels kernels(KernelLibrary library, String name, int parameters) {
    return new AttentionKernels(library, "attention_backward", name, parameters, true, 32, 64, 128);
  }

  /** Bytes of device memory for what one kernel leaves to the other. */
  public static long statisticsBytes(int rows, int heads) {
    return 2L * Float.BYTES * rows * heads;
  }

  /**
   * A matrix on the device.
   *
   * @param address a multiple of 16 bytes
   * @param stride elements from row to row, a multiple of 8
   */
  public record Rows(long address, long stride) {}

  /**
   * Launches it, scores scaled by headDim^−0.5.
   *
   * @param q [rows, heads · headDim], rotated queries
   * @param dOut what is like q
   * @param dq written, like q
   * @param dk [rows, kvHeads · headDim], written: gradients of the rotated keys
   * @param dv written, like dk
   * @param sequences address of int32 [count][4]
   * @param count number of sequences, up to 65535
   * @param pages address of the array of page addresses
   * @param layer which layer's keys and values
   * @param statistics address of {@link #statisticsBytes}, a multiple of 8
   * @param rows of all sequences together
   * @param maxRows no sequence has more
   * @param heads a multiple of kvHeads, up to 65535
   * @param headDim a multiple of 8, up to 128
   * @throws IllegalArgumentException if sizes or alignment are others
   */
  public void launch(
      long stream,
      Rows q,
      Rows dOut,
      Rows dq,
      Rows dk,
      Rows dv,
      long sequences,
      int count,
      long pages,
      int layer,
      long statistics,
      int rows,
      int maxRows,
      int heads,
      int kvHeads,
      int headDim) {
    int index = queries.index(Element.F16, headDim);
    queries.checkHeads(heads, kvHeads);
    check("q", q, heads * headDim);
    check("dOut", dOut, heads * headDim);
    check("dq", dq, heads * headDim);
    check("dk", dk, kvHeads * headDim);
    check("dv", dv, kvHeads * headDim);
    if (count == 0 || maxRows == 0) {
      return;
    }
    long tiles = Grids.ceilDiv(maxRows, AttentionKernels.TILE);
    Kernel query = with(with(with(queries.of(Element.F16, index), q), dOut), dq);
    rest(query, sequences, pages, layer, statistics, rows, heads, kvHeads, headDim)
        .launch(tiles, heads, count, AttentionKernels.THREADS, queries.sharedBytes(index), stream);
    Kernel key = with(with(with(with(keys.of(Element.F16, index), q), dOut), dk), dv);
    rest(key, sequences, pages, layer, statistics, rows, heads, kvHeads, headDim)
        .launch(tiles, kvHeads, count, AttentionKernels.THREADS, keys.sharedBytes(index), stream);
  }

  private void check(String what, Rows rows, int width) {
    queries.checkRows(what, rows.address, rows.stride, width);
  }

  private static Kernel with(Kernel kernel, Rows rows) {
    return kernel.with(rows.address).with((int) rows.stride);
  }

  private static Kernel rest(
      Kernel kernel,
      long sequences,
      long pages,
      int layer,
      long statistics,
      int rows,
      int heads,
      int kvHeads,
      int headDim) {
    long keyOffset = PrefillAttention.keyOffset(layer, kvHeads, headDim);
    return kernel
        .with(sequences)
        .with(pages)
        .with(keyOffset)
        .with(keyOffset + (long) kvHeads * PrefillAttention.PAGE * headDim)
        .with(statistics)
        .with(rows)
        .with(heads)
        .with(kvHeads)
        .with(headDim)
        .with((float) (1 / Math.sqrt(headDim)));
  }
}
