package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Named tensors in a file, in several files, or in a view of them. Opening reads names, shapes and
 * types only; a tensor's bytes are touched when somebody reads them.
 *
 * <p>Tensors are views of the mapped file where their bytes lie there as they are needed, else
 * copies in off-heap memory. Either way the memory belongs to the checkpoint: after {@link #close}
 * the tensors must not be used. Nothing is promised about the alignment of their addresses, and
 * they must not be written to.
 *
 * <p>Safe for use by several threads, {@link #close} excepted.
 */
public interface Checkpoint extends AutoCloseable {
  /** The names of all tensors, in the file's order; unmodifiable. */
  Set<String> names();

  /** Whether there is a tensor of this name. */
  default boolean contains(String name) {
    return names().contains(name);
  }

  /**
   * The element type of a tensor.
   *
   * @throws UserException if there is none of this name
   */
  DType dtype(String name);

  /**
   * The dimensions of a tensor, outermost first; empty for a scalar.
   *
   * @throws UserException if there is none of this name
   */
  long[] shape(String name);

  /**
   * A tensor, dense, row-major.
   *
   * @throws UserException if there is none of this name, or its bytes cannot be read
   */
  Tensor tensor(String name);

  /**
   * Sees that a tensor's bytes are those that were written. Only a PyTorch zip file has checksums
   * to tell by, unless it was saved without. Reads all of the bytes; those that several tensors
   * share, once.
   *
   * @return whether there is a checksum
   * @throws UserException if the bytes do not fit it, or there is no tensor of this name
   */
  default boolean verify(String name) {
    dtype(name);
    return false;
  }

  /**
   * A tensor that must have a certain shape.
   *
   * @param shape the expected dimensions; −1 stands for any
   * @throws UserException if there is none of this name, or its shape is another
   */
  default Tensor require(String name, long... shape) {
    requireShape(name, shape);
    return tensor(name);
  }

  /**
   * Sees that a tensor has a certain shape, without touching its bytes.
   *
   * @param shape the expected dimensions; −1 stands for any
   * @throws UserException if there is none of this name, or its shape is another
   */
  default void requireShape(String name, long... shape) {
    long[] found = shape(name);
    boolean fits = found.length == shape.length;
    for (int i = 0; fits && i < shape.length; i++) {
      fits = shape[i] == -1 || shape[i] == found[i];
    }
    if (!fits) {
      throw new UserException(
          "tensor '"
              + name
              + "' in "
              + source(name)
              + " has the shape "
              + Arrays.toString(found)
              + " where "
              + Arrays.toString(shape).replace("-1", "any")
              + " is expected: is this file for another model?");
    }
  }

  /** Free-form text that the file carries beside its tensors; unmodifiable, often empty. */
  Map<String, String> metadata();

  /** The file or files, their format and what is in them, for messages: a few words on one line. */
  String describe();

  /** The file that holds a tensor, for messages; {@link #describe} if there is no such tensor. */
  String source(String name);

  /** Releases the mapped memory. Tensors that came from here become invalid. */
  @Override
  void close();

  /** The exception for a tensor that is not there, naming what comes near. */
  default UserException missing(String name) {
    List<String> near = Suggestions.nearest(name, names(), 3);
    return new UserException(
        "no tensor '"
            + name
            + "' in "
            + describe()
            + (near.isEmpty() ? "" : "; the nearest are '" + String.join("', '", near) + "'"));
  }
}
