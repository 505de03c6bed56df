package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;

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

  /**
   * A thread's list of where {@code count} blocks lie, to be filled by {@link #setBlock}; its
   * address is what the other methods ask for.
   */
  long list(int count, int worker) {
    return lists[worker].floats(4L * count);
  }

  /** Sets where block {@code i} of a list has its keys and its values. */
  static void setBlock(long list, int i, long keys, long values) {
    Memory.setLong(list + 16L * i, keys);
    Memory.setLong(list + 16L * i + 8, values);
  }

  /**
   * softmax(scale · q kᵀ) v of one head. Row r sees the keys up to position {@code first} + r.
   *
   * @param cached type of keys and values, F32 or F16
   * @param q address of the head's first row, {@code qStride} from the next
   * @param blocks a {@link #list}
   * @param step keys of a block
   * @param keys keys of all of them
   */
  void forward(
      DType cached,
      long q,
      long qStride,
      int rows,
      int dims,
      float scale,
      long blocks,
      long kStride,
      long vStride,
      int step,
      int keys,
      int first,
      long out,
      long outStride,
      int worker) {
    long scratch = scratches[worker].floats(library.attentionScratch(rows, dims, step));
    library.attention(
        NativeDots.element(cached),
        q,
        qStride,
        rows,
        dims,
        scale,
        blocks,
        kStride,
        vStride,
        step,
        keys,
        first,
        out,
        outStride,
        scratch);
  }

  /**
   * The same for one row that sees all keys, of the {@code group} heads of queries that share a
   * head of keys.
   */
  void row(
      DType cached,
      long q,
      int dims,
      int group,
      float scale,
      long blocks,
      int step,
      int keys,
      long out,
      int worker) {
    long scratch = scratches[worker].floats(CpuLibrary.attentionRowScratch(dims, keys));
    library.attentionRow(
        NativeDots.element(cached), q, dims, group, scale, blocks, step, keys, out, scratch);
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
      long blocks,
      int step,
      long dq,
      long dqStride,
      long dk,
      long dkStride,
      long dv,
      long dvStride,
      int worker) {
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
        blocks,
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
