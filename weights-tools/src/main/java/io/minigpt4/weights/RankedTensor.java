package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A tensor of Meta's, put together from the parts that the ranks of a model-parallel run have: one
 * below the other, or side by side; its rows in another order if need be.
 */
final class RankedTensor extends PlannedTensor {
  /** How the parts lie in the whole. */
  enum Join {
    /** Every rank has the whole. */
    SAME,
    /** Each rank has some of the rows. */
    ROWS,
    /** Each rank has some of the columns. */
    COLUMNS
  }

  private final List<Checkpoint> ranks;
  private final String source;
  private final Join join;
  private final int heads;
  private final long rows;
  private final long columns;
  private final long partRows;
  private final long partColumns;
  private final DType sourceType;
  private List<MemorySegment> parts = List.of();

  /**
   * Checks the parts.
   *
   * @param name under which it is written
   * @param source its name in all files
   * @param heads above 0, the number of heads whose rows go from adjacent pairs to halves
   * @param dtype to convert it to; null to keep its own
   * @param shape that the whole must have: one or two dimensions
   * @throws UserException if a part is missing, or they do not make up the shape
   */
  RankedTensor(
      String name,
      List<Checkpoint> ranks,
      String source,
      Join join,
      int heads,
      @Nullable DType dtype,
      long... shape) {
    super(name, dtype == null ? ranks.getFirst().dtype(source) : dtype, shape);
    this.ranks = ranks;
    this.source = source;
    this.join = join;
    this.heads = heads;
    this.columns = shape[shape.length - 1];
    this.rows = shape.length == 2 ? shape[0] : 1;
    int count = ranks.size();
    this.partRows = join == Join.ROWS ? rows / count : rows;
    this.partColumns = join == Join.COLUMNS ? columns / count : columns;
    this.sourceType = ranks.getFirst().dtype(source);
    long divided = join == Join.ROWS ? rows : join == Join.COLUMNS ? columns : count;
    if (divided % count != 0) {
      throw new UserException(
          "'"
              + source
              + "' of "
              + Arrays.toString(shape)
              + " cannot be divided among "
              + count
              + " files: is one missing?");
    }
    long[] part = shape.length == 2 ? new long[] {partRows, partColumns} : new long[] {columns};
    for (Checkpoint rank : ranks) {
      rank.requireShape(source, part);
      if (rank.dtype(source) != sourceType || !sourceType.isFloating()) {
        throw new UserException(
            "tensor '"
                + source
                + "' in "
                + rank.source(source)
                + " is of type "
                + rank.dtype(source)
                + " where "
                + (sourceType.isFloating() ? sourceType : "a floating-point type")
                + " is expected");
      }
    }
  }

  @Override
  void verify() {
    ranks.forEach(checkpoint -> checkpoint.verify(source));
  }

  @Override
  void prepare() {
    parts = ranks.stream().map(checkpoint -> checkpoint.tensor(source).segment()).toList();
  }

  @Override
  void release() {
    parts = List.of();
  }

  @Override
  MemorySegment stretch(long from, long count, MemorySegment scratch) {
    if (sourceType == dtype()) {
      gather(from, count, scratch);
      return scratch;
    }
    MemorySegment raw = MemorySegment.ofArray(new byte[(int) count * sourceType.bytes()]);
    gather(from, count, raw);
    Elements elements = new Elements();
    elements.convert(sourceType, raw, dtype(), scratch);
    if (elements.overflows() > 0) {
      throw new UserException(
          "tensor '" + source + "' has values that " + dtype() + " cannot hold: choose another");
    }
    return scratch;
  }

  private void gather(long from, long count, MemorySegment to) {
    long element = from;
    while (element < from + count) {
      long row = sourceRow(element / columns);
      long column = element % columns;
      int rank = 0;
      long partRow = row;
      long partColumn = column;
      if (join == Join.ROWS) {
        rank = (int) (row / partRows);
        partRow = row % partRows;
      } else if (join == Join.COLUMNS) {
        rank = (int) (column / partColumns);
        partColumn = column % partColumns;
      }
      long n = Math.min(from + count - element, partColumns - partColumn);
      int width = sourceType.bytes();
      MemorySegment.copy(
          parts.get(rank),
          (partRow * partColumns + partColumn) * width,
          to,
          (element - from) * width,
          n * width);
      element += n;
    }
  }

  /**
   * Where a row of the result comes from. Meta's RoPE turns adjacent pairs of a head's channels,
   * Hugging Face's the channels i and i + half.
   */
  private long sourceRow(long row) {
    if (heads == 0) {
      return row;
    }
    long head = rows / heads;
    long half = head / 2;
    long channel = row % head;
    return row - channel + 2 * (channel % half) + channel / half;
  }
}
