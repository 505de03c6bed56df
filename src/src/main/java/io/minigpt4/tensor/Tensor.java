package io.minigpt4.tensor;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * A typed, shaped view of memory, row-major. The memory is off-heap: mapped from a file, taken from
 * a {@link Workspace}, or on a device, in which case the segment's address means something to that
 * device alone and must not be read.
 *
 * <p>All dimensions but the last are seen as <em>rows</em>. Rows may be apart by more than their
 * width (a column slice of a wider matrix, see {@link #columns}); everything else is dense. A
 * tensor does not own its memory: whoever made the segment's arena closes it.
 *
 * <p>A {@linkplain Quantised quantised} matrix has its scales beside it. Its elements have no
 * addresses of their own, so that it cannot be sliced or reshaped.
 */
public final class Tensor {
  private final DType dtype;
  private final long[] shape;
  private final MemorySegment segment;
  private final long rows;
  private final long width;
  private final long rowStride;
  private final @Nullable Tensor scales;
  private final int group;

  private Tensor(DType dtype, long[] shape, long rowStride, MemorySegment segment) {
    this(dtype, shape, rowStride, segment, null, 0);
  }

  private Tensor(
      DType dtype,
      long[] shape,
      long rowStride,
      MemorySegment segment,
      @Nullable Tensor scales,
      int group) {
    this.dtype = dtype;
    this.shape = shape;
    this.width = shape.length == 0 ? 1 : shape[shape.length - 1];
    long count = 1;
    for (int i = 0; i + 1 < shape.length; i++) {
      count = Math.multiplyExact(count, shape[i]);
    }
    this.rows = count;
    this.rowStride = rowStride;
    this.segment = segment;
    this.scales = scales;
    this.group = group;
  }

  /** For {@link Quantised#matrix}, which checks. */
  static Tensor quantised(
      DType dtype, MemorySegment segment, Tensor scales, int group, long rows, long width) {
    return new Tensor(dtype, new long[] {rows, width}, width, segment, scales, group);
  }

  /**
   * A dense tensor over a segment.
   *
   * @param segment at least as long as the shape needs
   * @param shape dimensions, each ≥ 0; none for a scalar
   * @throws IllegalArgumentException if the segment is too short or a dimension is negative
   */
  public static Tensor of(DType dtype, MemorySegment segment, long... shape) {
    long need = Math.multiplyExact(elements(shape), dtype.bytes());
    if (segment.byteSize() < need) {
      throw new IllegalArgumentException(
          "shape "
              + Arrays.toString(shape)
              + " of "
              + dtype
              + " needs "
              + need
              + " bytes, the segment has "
              + segment.byteSize());
    }
    long[] dims = shape.clone();
    return new Tensor(
        dtype, dims, dims.length == 0 ? 1 : dims[dims.length - 1], segment.asSlice(0, need));
  }

  /** Number of elements of a shape; overflow and negative dimensions throw. */
  public static long elements(long... shape) {
    long count = 1;
    for (long d : shape) {
      if (d < 0) {
        throw new IllegalArgumentException("negative dimension in " + Arrays.toString(shape));
      }
      count = Math.multiplyExact(count, d);
    }
    return count;
  }

  public DType dtype() {
    return dtype;
  }

  /** A copy of the dimensions. */
  public long[] shape() {
    return shape.clone();
  }

  /** Number of dimensions. */
  public int rank() {
    return shape.length;
  }

  /** Dimension {@code i}; negative counts from the end. */
  public long dim(int i) {
    return shape[i < 0 ? i + shape.length : i];
  }

  /** Product of all dimensions but the last. */
  public long rows() {
    return rows;
  }

  /** The last dimension. */
  public long width() {
    return width;
  }

  /**
   * Elements from the start of one row to the start of the next; equals {@link #width} when dense.
   */
  public long rowStride() {
    return rowStride;
  }

  /** Whether there are no gaps between rows. */
  public boolean isDense() {
    return rowStride == width || rows <= 1;
  }

  /** Number of elements. */
  public long elements() {
    return rows * width;
  }

  /** The memory, from the first element to the last (gaps between rows included). */
  public MemorySegment segment() {
    return segment;
  }

  /** Address of the first element, on whichever device the tensor lives. */
  public long address() {
    return segment.address();
  }

  /**
   * The scales of a quantised matrix, [rows, scales of a row].
   *
   * @throws IllegalStateException if it is not quantised
   */
  public Tensor scales() {
    if (scales == null) {
      throw new IllegalStateException(this + " has no scales");
    }
    return scales;
  }

  /** How many elements share a scale in {@link DType#Q4}; 0 for other types. */
  public int group() {
    return dtype == DType.Q4 ? group : 0;
  }

  /** The same elements under another shape. Only for dense tensors. */
  public Tensor reshape(long... newShape) {
    requirePlain();
    if (!isDense() || elements(newShape) != elements()) {
      throw new IllegalArgumentException(this + " cannot be seen as " + Arrays.toString(newShape));
    }
    return of(dtype, segment, newShape);
  }

  /** Rows {@code from} (inclusive) to {@code to} (exclusive) as a matrix [to − from, width]. */
  public Tensor slice(long from, long to) {
    if (from < 0 || to < from || to > rows) {
      throw new IndexOutOfBoundsException("rows " + from + ".." + to + " of " + this);
    }
    return view(from * rowStride, to - from, width);
  }

  /**
   * Columns {@code from} (inclusive) to {@code to} (exclusive) of every row as a strided matrix
   * [rows, to − from].
   */
  public Tensor columns(long from, long to) {
    if (from < 0 || to < from || to > width) {
      throw new IndexOutOfBoundsException("columns " + from + ".." + to + " of " + this);
    }
    return view(from, rows, to - from);
  }

  private void requirePlain() {
    if (scales != null) {
      throw new IllegalArgumentException("there are no views of quantised matrices: " + this);
    }
  }

  private Tensor view(long offset, long viewRows, long viewWidth) {
    requirePlain();
    long span = viewRows == 0 ? 0 : (viewRows - 1) * rowStride + viewWidth;
    long start = span == 0 ? 0 : offset * dtype.bytes(); // nothing may lie behind the last element
    MemorySegment part = segment.asSlice(start, span * dtype.bytes());
    return new Tensor(dtype, new long[] {viewRows, viewWidth}, rowStride, part);
  }

  @Override
  public String toString() {
    return dtype + Arrays.toString(shape) + (isDense() ? "" : "/stride " + rowStride);
  }
}
