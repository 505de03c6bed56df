package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;

/**
 * Attention of many rows by native code, which {@code attention.c} describes. Each thread keeps its
 * own scratch and its own list of where the blocks of keys and values lie.
 */
final class NativeAttention implements AutoCloseable {
  private final CpuLibrary library;
  private final Scratch[] scratches;
  private final Scratch[] lists;

  NativeAttention(CpuLibrary library, Team team) {
    this.library = library;
    this.scratches = Scratch.array(team.size());
    this.lists = Scratch.array(team.size());
  }

  /** Where a block of keys and one of values begin, which a thread puts into its list. */
  @FunctionalInterface
  interface Blocks {
    /**
     * Where one begins.
     *
     * @param position the block's first key
     * @param values whether its values are asked for
     */
    long address(int position, boolean values);
  }

  /** The address of a list of blocks: pairs of addresses of keys and values. */
  private long list(Blocks blocks, int step, int keys, int worker) {
    int count = (keys + step - 1) / step;
    long list = lists[worker].floats(4L * count);
    for (int i = 0; i < count; i++) {
      Memory.setLong(list + 16L * i, blocks.address(i * step, false));
      Memory.setLong(list + 16L * i + 8, blocks.address(i * step, true));
    }
    return list;
  }

  /**
   * softmax(scale · q kᵀ) v of one head. Row r sees the keys up to position {@code first} + r.
   *
   * @param q address of the head's first row, {@code qStride} from the next
   * @param step keys of a block
   * @param keys keys of all of them
   */
  void forward(
      long q,
      long qStride,
      int rows,
      int dims,
      float scale,
      Blocks blocks,
      long kStride,
      long vStride,
      int step,
      int keys,
      int first,
      long out,
      long outStride,
      int worker) {
    long list = list(blocks, step, keys, worker);
    long scratch = scratches[worker].floats(library.attentionScratch(rows, dims, step));
    library.attention(
        q, qStride, rows, dims, scale, list, kStride, vStride, step, keys, first, out, outStride,
        scratch);
  }

  /**
   * The backward pass of one head of keys over a sequence that sees only itself, with the {@code
   * group} heads of queries that share it.
   */
  void backward(
      long q,
      long qStride,
      long dOut,
      long dOutStride,
      int rows,
      int dims,
      int group,
      float scale,
      Blocks blocks,
      int step,
      long dq,
      long dqStride,
      long dk,
      long dkStride,
      long dv,
      long dvStride,
      int worker) {
    long list = list(blocks, step, rows, worker);
    long scratch = scratches[worker].floats(library.attentionBackwardScratch(rows, dims, step));
    library.attentionBackward(
        q,
        qStride,
        dOut,
        dOutStride,
        rows,
        dims,
        group,
        scale,
        list,
        step,
        dq,
        dqStride,
        dk,
        dkStride,
        dv,
        dvStride,
        scratch);
  }

  @Override
  public void close() {
    for (Scratch scratch : scratches) {
      scratch.close();
    }
    for (Scratch list : lists) {
      list.close();
    }
  }
}
