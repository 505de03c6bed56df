package io.minigpt4.kernels;

/** Casts, fills and transpositions: moves of memory, and bound by it. */
public final class Conversions {
  private static final int THREADS = 256;
  private static final int TILE = 32;

  private final TypedKernel cast;
  private final TypedKernel fill;
  private final TypedKernel transpose;

  /**
   * @param library where the kernels come from
   */
  public Conversions(KernelLibrary library) {
    cast = new TypedKernel(library, "cast", "mg_cast", 7);
    fill = new TypedKernel(library, "fill", "mg_fill", 3);
    transpose = new TypedKernel(library, "transpose", "mg_transpose", 6);
  }

  /**
   * out = x converted to out's type, rounded to the nearest, ties to even; what is too large
   * becomes infinite. Not in place, but for types of the same size.
   *
   * @param from type of x
   * @param x address of [rows, width]
   * @param stride elements from row to row of x
   * @param to type of out
   * @param out address of [rows, width]
   * @param outStride elements from row to row of out
   */
  public void cast(
      long stream,
      Element from,
      long x,
      long stride,
      Element to,
      long out,
      long outStride,
      long rows,
      long width) {
    if (rows == 0 || width == 0) {
      return;
    }
    boolean dense = stride == width && outStride == width;
    long lines = dense ? 1 : rows;
    long length = dense ? rows * width : width;
    cast.of(to)
        .with(x)
        .with(from.code())
        .with(stride)
        .with(out)
        .with(outStride)
        .with(lines)
        .with(length)
        .launch(Grids.ceilDiv(lines * Grids.chunks(length), THREADS), 1, THREADS, stream);
  }

  /**
   * x[i] = value, rounded to the type.
   *
   * @param x address of [n]
   */
  public void fill(long stream, Element element, long x, float value, long n) {
    if (n == 0) {
      return;
    }
    fill.of(element)
        .with(x)
        .with(value)
        .with(n)
        .launch(Grids.ceilDiv(Grids.chunks(n), THREADS), 1, THREADS, stream);
  }

  /**
   * out[c][r] = x[r][c].
   *
   * @param x address of [rows, columns]
   * @param stride elements from row to row of x
   * @param out address of [columns, rows], elsewhere than x
   * @param outStride elements from row to row of out
   * @throws IllegalArgumentException if there are more than 2097120 columns
   */
  public void transpose(
      long stream,
      Element element,
      long x,
      long stride,
      long out,
      long outStride,
      int rows,
      int columns) {
    if (columns > 65535 * TILE) {
      throw new IllegalArgumentException("transposition of " + columns + " columns");
    }
    if (rows == 0 || columns == 0) {
      return;
    }
    transpose
        .of(element)
        .with(x)
        .with(stride)
        .with(out)
        .with(outStride)
        .with(rows)
        .with(columns)
        .launch(Grids.ceilDiv(rows, TILE), Grids.ceilDiv(columns, TILE), THREADS, stream);
  }
}
