package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * {@linkplain Quantised Quantised} matrices in files: under the matrix's name the integers, under
 * {@code name.scales} their scales. Q8 is I8 [rows, width] and F32 [rows]; Q4 is U8 [rows, bytes of
 * a row] and BF16 [rows, 16 · blocks], from which the group follows.
 */
public final class QuantisedTensors {
  /** What the scales' names end with. */
  public static final String SCALES = ".scales";

  private QuantisedTensors() {}

  /** Whether a tensor is of a type that only quantised matrices have. */
  public static boolean isQuantised(DType stored) {
    return stored == DType.I8 || stored == DType.U8;
  }

  /**
   * What a matrix in a file stands for.
   *
   * @param type Q8 or Q4
   * @param width elements of a row; in Q4 with the zeros that it is filled up with, because files
   *     do not say how many these are
   * @param group elements that share a scale in Q4; 0 for Q8
   */
  public record Form(DType type, long rows, long width, int group) {}

  /** The form of a tensor; null if it is not a matrix with scales beside it. */
  public static @Nullable Form form(Checkpoint checkpoint, String name) {
    DType stored = checkpoint.dtype(name);
    long[] shape = checkpoint.shape(name);
    if (!isQuantised(stored) || shape.length != 2 || !checkpoint.contains(name + SCALES)) {
      return null;
    }
    if (stored == DType.I8) {
      return new Form(DType.Q8, shape[0], shape[1], 0);
    }
    long[] scales = checkpoint.shape(name + SCALES);
    long width = 2 * shape[1];
    long group = scales.length == 2 && scales[1] > 0 ? width / scales[1] : 0;
    return Quantised.isGroup(group) ? new Form(DType.Q4, shape[0], width, (int) group) : null;
  }

  /** Whether a tensor is the scales of a quantised matrix. */
  public static boolean isScales(Checkpoint checkpoint, String name) {
    String matrix = name.endsWith(SCALES) ? name.substring(0, name.length() - SCALES.length()) : "";
    return checkpoint.contains(matrix) && form(checkpoint, matrix) != null;
  }

  /** The type that integers have in files. */
  static DType storedType(DType type) {
    return type == DType.Q8 ? DType.I8 : DType.U8;
  }

  /**
   * A quantised matrix, as it lies in the file.
   *
   * @param name of its integers, for which {@link #isQuantised} holds
   * @throws UserException if scales are missing, or the shapes do not belong together
   */
  public static Tensor read(Checkpoint checkpoint, String name, long rows, long width) {
    String scales = name + SCALES;
    if (!checkpoint.contains(scales)) {
      throw problem(checkpoint, name, "is quantised, but '" + scales + "' is missing");
    }
    if (checkpoint.dtype(name) == DType.I8) {
      Tensor bytes = checkpoint.require(name, rows, width);
      Tensor factors = checkpoint.require(scales, rows);
      requireType(checkpoint, scales, DType.F32);
      return Quantised.matrix(DType.Q8, bytes.segment(), factors.segment(), 0, rows, width);
    }
    long[] shape = checkpoint.shape(name);
    long[] scaleShape = checkpoint.shape(scales);
    requireType(checkpoint, scales, DType.BF16);
    boolean matrices = shape.length == 2 && scaleShape.length == 2;
    long group = matrices && scaleShape[1] > 0 ? 2 * shape[1] / scaleShape[1] : 0;
    boolean fits =
        Quantised.isGroup(group)
            && shape[0] == rows
            && scaleShape[0] == rows
            && shape[1] == Quantised.rowBytes(DType.Q4, width, (int) group)
            && scaleShape[1] == Quantised.rowScales(DType.Q4, width, (int) group);
    if (!fits) {
      throw problem(
          checkpoint,
          name,
          "has the shape "
              + Arrays.toString(shape)
              + " and scales "
              + Arrays.toString(scaleShape)
              + ", which make no 4-bit matrix of "
              + rows
              + " x "
              + width
              + ": is this file for another model?");
    }
    return Quantised.matrix(
        DType.Q4,
        checkpoint.tensor(name).segment(),
        checkpoint.tensor(scales).segment(),
        (int) group,
        rows,
        width);
  }

  private static void requireType(Checkpoint checkpoint, String name, DType type) {
    DType found = checkpoint.dtype(name);
    if (found != type) {
      throw problem(checkpoint, name, "is of type " + found + " where " + type + " is expected");
    }
  }

  private static UserException problem(Checkpoint checkpoint, String name, String what) {
    return new UserException("tensor '" + name + "' in " + checkpoint.source(name) + " " + what);
  }
}
