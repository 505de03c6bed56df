package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.util.stream.IntStream;

/**
 * Makes {@linkplain Quantised quantised} matrices of floating-point ones.
 *
 * <p>Q8: the scale of a row is its largest magnitude / 127, rounded to nearest, as in LLM.int8()
 * (Dettmers et al. 2022) for what is no outlier there. LLM.int8() quantises activations as well and
 * so has to keep whole columns in 16 bit where these are large; here activations stay float, and
 * what remains of the error is that of the weights.
 *
 * <p>Q4: for each group the scale and the integers −8 to 7 that make the squared error smallest
 * among the candidates: the group's largest element is put at −8 / (1 + i/20) for i from −2 to 8,
 * the other elements are rounded, and to these integers q the best scale is Σwq / Σq² (least
 * squares). The sum of squares that is left is Σw² − (Σwq)² / Σq². The scale is rounded to bfloat16
 * and the integers are rounded once more for it.
 */
public final class Quantiser {
  /** Elements that share a scale in Q4, unless somebody asks for another number. */
  public static final int DEFAULT_GROUP = 32;

  /** Rows that a thread takes at a time. */
  private static final int ROWS = 64;

  private final DType type;
  private final int group;

  /**
   * @param type Q8 or Q4
   * @param group elements that share a scale in Q4
   * @throws IllegalArgumentException if there is no such form
   */
  public Quantiser(DType type, int group) {
    if (!type.isQuantised() || !Quantised.isGroup(group)) {
      throw new IllegalArgumentException("no form of " + type + " with groups of " + group);
    }
    this.type = type;
    this.group = group;
  }

  public DType type() {
    return type;
  }

  public int group() {
    return group;
  }

  /**
   * How far a quantised matrix is from the original.
   *
   * @param squares of the original's elements, their sum
   * @param errors of the differences, likewise
   */
  public record Deviation(double squares, double errors) {
    /** That of both together. */
    public Deviation plus(Deviation other) {
      return new Deviation(squares + other.squares, errors + other.errors);
    }

    /** The error's root mean square relative to the original's. */
    public double relative() {
      return squares == 0 ? 0 : Math.sqrt(errors / squares);
    }
  }

  /** A matrix and how far it is from the original. */
  public record Result(Tensor matrix, Deviation deviation) {}

  /**
   * Quantises a matrix, on all processors.
   *
   * @param matrix [rows, width], dense, floating
   * @param memory for the result; such as several threads may write
   * @throws IllegalArgumentException if the matrix holds values that are not finite
   */
  public Result quantise(Tensor matrix, SegmentAllocator memory) {
    long rows = matrix.rows();
    long width = matrix.width();
    long rowBytes = Quantised.rowBytes(type, width, group);
    long scaleBytes = rowScaleBytes(width);
    MemorySegment elements = memory.allocate(rows * rowBytes, 64);
    MemorySegment scales = memory.allocate(rows * scaleBytes, 64);
    Tensor result = Quantised.matrix(type, elements, scales, group, rows, width);
    int parts = Math.toIntExact((rows + ROWS - 1) / ROWS);
    Deviation[] deviations = new Deviation[parts];
    IntStream.range(0, parts)
        .parallel()
        .forEach(
            part -> {
              long end = Math.min(rows, (part + 1L) * ROWS);
              long first = (long) part * ROWS;
              deviations[part] =
                  quantise(
                      matrix,
                      first,
                      end,
                      elements.asSlice(first * rowBytes, (end - first) * rowBytes),
                      scales.asSlice(first * scaleBytes, (end - first) * scaleBytes));
            });
    Deviation all = new Deviation(0, 0);
    for (Deviation d : deviations) {
      all = all.plus(d);
    }
    return new Result(result, all);
  }

  /**
   * Bytes of the scales of a row.
   *
   * @param width elements of the row
   */
  public long rowScaleBytes(long width) {
    return Quantised.rowScales(type, width, group) * Quantised.scaleType(type).bytes();
  }

  /**
   * Quantises some rows of a matrix, in the thread that calls.
   *
   * @param matrix [rows, width], dense, floating
   * @param end the row after the last one
   * @param elements room for the rows' integers, {@link Quantised#rowBytes} each
   * @param scales room for their scales, {@link #rowScaleBytes} each
   * @throws IllegalArgumentException if the rows hold values that are not finite
   */
  public Deviation quantise(
      Tensor matrix, long first, long end, MemorySegment elements, MemorySegment scales) {
    int width = Math.toIntExact(matrix.width());
    RowQuantiser rows =
        type == DType.Q8 ? new ByteRowQuantiser(width) : new NibbleRowQuantiser(width, group);
    long rowBytes = Quantised.rowBytes(type, width, group);
    long scaleBytes = rowScaleBytes(width);
    for (long row = 0; row < end - first; row++) {
      rows.read(matrix, first + row);
      rows.quantise();
      rows.write(
          elements.asSlice(row * rowBytes, rowBytes), scales.asSlice(row * scaleBytes, scaleBytes));
    }
    Deviation deviation = rows.deviation();
    if (!Double.isFinite(deviation.squares())) {
      throw new IllegalArgumentException("there are values in it that are not finite");
    }
    return deviation;
  }
}
