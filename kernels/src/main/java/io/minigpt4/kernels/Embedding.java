package io.minigpt4.kernels;

/**
 * Rows taken from tables: embeddings with image rows spliced between them, gathers, repetitions.
 * Moves each element once in and once out, 16 bytes a thread and access where rows are multiples of
 * 16 bytes; bound by memory.
 */
public final class Embedding {
  private static final int THREADS = 256;

  private final TypedKernel kernel;

  /**
   * @param library where the kernels come from
   */
  public Embedding(KernelLibrary library) {
    kernel = new TypedKernel(library, "embed", "mg_embed", 8);
  }

  /**
   * out[i] = table[ids[i]] where ids[i] ≥ 0, else imageRows[~ids[i]]. An id that names no row gives
   * a row of NaN.
   *
   * @param element type of imageRows and out
   * @param table address of [tableRows, width]
   * @param tableElement type of table
   * @param ids address of int32 [count]
   * @param imageRows address of [imageCount, width], or 0 with imageCount 0
   * @param out address of [count, width]
   */
  public void embed(
      long stream,
      Element element,
      long table,
      Element tableElement,
      int tableRows,
      long ids,
      long count,
      long imageRows,
      int imageCount,
      long out,
      int width) {
    if (count == 0 || width == 0) {
      return;
    }
    kernel
        .of(element)
        .with(table)
        .with(tableElement.code())
        .with(tableRows)
        .with(ids)
        .with(imageRows)
        .with(imageCount)
        .with(out)
        .with(width)
        .launch(count, Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }

  /**
   * out[i] = x[indices[i]]. An index that names no row gives a row of NaN.
   *
   * @param element type of x and out
   * @param x address of [rows, width]
   * @param indices address of int32 [count]
   * @param out address of [count, width]
   */
  public void gather(
      long stream,
      Element element,
      long x,
      int rows,
      long indices,
      long count,
      long out,
      int width) {
    embed(stream, element, x, element, rows, indices, count, 0, 0, out, width);
  }

  /**
   * out = rows, {@code times} times over, converted to out's type.
   *
   * @param element type of out
   * @param rows address of [n, width]
   * @param rowsElement type of rows
   * @param out address of [times · n, width]
   */
  public void repeat(
      long stream,
      Element element,
      long rows,
      Element rowsElement,
      int n,
      int times,
      long out,
      int width) {
    embed(stream, element, rows, rowsElement, n, 0, (long) n * times, 0, 0, out, width);
  }
}
