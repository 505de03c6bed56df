package io.minigpt4.weights;

import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;

/** A tensor that is to be written, and where its elements come from. */
abstract class PlannedTensor {
  private final String name;
  private final DType dtype;
  private final long[] shape;

  /**
   * @param dtype of what is written
   * @throws UserException if no tensor of SafeTensors can have this name
   */
  PlannedTensor(String name, DType dtype, long... shape) {
    if (name.equals(SafeTensorsWriter.RESERVED)) {
      throw new UserException(
          "a tensor is called '" + name + "', which in SafeTensors is no tensor's name");
    }
    this.name = name;
    this.dtype = dtype;
    this.shape = shape.clone();
  }

  final String name() {
    return name;
  }

  final DType dtype() {
    return dtype;
  }

  final long[] shape() {
    return shape.clone();
  }

  final long elements() {
    return Tensor.elements(shape);
  }

  final long bytes() {
    return elements() * dtype.bytes();
  }

  /** How many elements cannot be made apart: stretches begin at multiples of it. */
  long grain() {
    return 1;
  }

  /**
   * Sees that what the elements are made of is as it was written, where its file has checksums.
   * Called before {@link #prepare}, by another thread.
   *
   * @throws UserException if it is not
   */
  void verify() {}

  /** Gets hold of what the elements are made of. Called before the first stretch. */
  void prepare() {}

  /** Lets go of it. Called after the last stretch, or when there will be no more. */
  void release() {}

  /**
   * A stretch of the elements, in row-major order. Several threads ask at once, for different
   * stretches.
   *
   * @param from the first element
   * @param count how many
   * @param scratch room for them
   * @return the elements: in {@code scratch}, or wherever they lie already
   */
  abstract MemorySegment stretch(long from, long count, MemorySegment scratch);
}
