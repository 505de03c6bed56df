package io.minigpt4.kernels;

/**
 * Causal attention of one row a sequence over the paged key/value cache, the row's own key and
 * value included; what {@link PrefillAttention} describes holds here too. Sequences with any other
 * number of rows are left out.
 *
 * <p>A sequence's pages are split among blocks, so that all multiprocessors read even where there
 * is one sequence (Flash-Decoding, Dao et al. 2023); the block that finishes last adds the parts
 * up. How many pages a block takes is decided on the device, from the sequence's length then: a
 * captured launch replays while sequences grow. Results do not depend on the order of blocks.
 */
public final class DecodeAttention {
  /** Query heads that share a key as it is read, where that many share a key/value head. */
  private static final int GROUP = 4;

  private final AttentionKernels single;
  private final AttentionKernels grouped;

  /**
   * @param library where the kernels come from
   */
  public DecodeAttention(KernelLibrary library) {
    single = kernels(library, 1);
    grouped = kernels(library, GROUP);
  }

  private static AttentionKernels kernels(KernelLibrary library, int group) {
    return new AttentionKernels(
        library, "attention_decode", "mg_attention_decode_g" + group, 14, false, 64, 128);
  }

  /** Query heads of a block. */
  private static int group(int heads, int kvHeads) {
    return heads / kvHeads % GROUP == 0 ? GROUP : 1;
  }

  /**
   * Into how many parts to split sequences: enough blocks to fill the device once, but none without
   * a page at the longest. More parts than this only cost memory traffic.
   *
   * @param count sequences
   * @param maxLength tokens, rows included, that a sequence may have
   * @param multiprocessors of the device
   */
  public static int splits(int count, int heads, int kvHeads, int maxLength, int multiprocessors) {
    int group = group(heads, kvHeads);
    // As many as registers let run at once: 80 a thread, with groups 168.
    int blocksPerMultiprocessor = group == 1 ? 6 : 3;
    long blocks = Math.max(1, (long) count * heads / group);
    long fill = Grids.ceilDiv((long) multiprocessors * blocksPerMultiprocessor, blocks);
    return (int) Math.max(1, Math.min(fill, Grids.ceilDiv(maxLength, PrefillAttention.PAGE)));
  }

  /** Scratch memory for a launch with these splits; its content does not matter. */
  public static long workspaceBytes(int count, int heads, int headDim, int splits) {
    return splits == 1 ? 0 : 4L * count * heads * splits * (headDim + 2);
  }

  /**
   * Memory of counters. It is set to zero once; each launch leaves it so. Launches that may run at
   * the same time need their own.
   */
  public static long counterBytes(int count, int heads) {
    return 4L * count * heads;
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
   * @param splits at least 1, best from {@link #splits}
   * @param workspace address of {@link #workspaceBytes}
   * @param counters address of {@link #counterBytes}, zeros before the first launch
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
      int splits,
      long workspace,
      long counters) {
    single.checkHeads(heads, kvHeads);
    int group = group(heads, kvHeads);
    AttentionKernels kernels = group == 1 ? single : grouped;
    int index = kernels.index(element, headDim);
    kernels.checkRows("q", q, qStride, heads * headDim);
    kernels.checkRows("out", out, outStride, heads * headDim);
    if (splits < 1) {
      throw new IllegalArgumentException("decode attention in " + splits + " splits");
    }
    if (count == 0) {
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
        .with(PrefillAttention.keyOffset(layer, kvHeads, headDim))
        .with(
            PrefillAttention.keyOffset(layer, kvHeads, headDim)
                + (long) kvHeads * PrefillAttention.PAGE * headDim)
        .with(heads)
        .with(kvHeads)
        .with(headDim)
        .with((float) (AttentionKernels.LOG2_E / Math.sqrt(headDim)))
        .with(workspace)
        .with(counters)
        .launch(splits, heads / group, count, AttentionKernels.THREADS, 0, stream);
  }

  /**
   * Of one sequence: its keys and values, its row in and out. The parts that splits write and read
   * again, splits · heads · (headDim + 2) float32, stay in the L2 cache and are not counted.
   *
   * @param element as launched, likewise the others
   * @param length tokens, the row's own included
   */
  public static Work work(Element element, int heads, int kvHeads, int headDim, int length) {
    return PrefillAttention.work(element, heads, kvHeads, headDim, 1, length - 1);
  }
}
