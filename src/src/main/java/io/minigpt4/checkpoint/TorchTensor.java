package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import it.unimi.dsi.fastutil.longs.LongArrayList;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A tensor of a PyTorch file: a strided look into a storage.
 *
 * @param offset first element, counted in the whole storage
 * @param dims its shape
 * @param strides elements from one index to the next, for each dimension
 */
record TorchTensor(TorchStorage storage, long offset, LongArrayList dims, LongArrayList strides) {
  /** The dimensions, outermost first. */
  long[] shape() {
    return dims.toLongArray();
  }

  /** The element type, which is its storage's. */
  DType dtype() {
    return storage.dtype();
  }

  /**
   * Whether it fits its storage. One without elements does wherever it begins, which PyTorch's
   * slices of empty tensors do behind the end.
   *
   * @throws ArithmeticException if sizes overflow
   */
  boolean fits() {
    if (offset < storage.viewOffset() || strides.size() != dims.size()) {
      return false;
    }
    for (int i = 0; i < dims.size(); i++) {
      if (dims.getLong(i) < 0 || strides.getLong(i) < 0) {
        return false;
      }
    }
    // Strides of zero let any number of elements fit, but their bytes are to be counted as well.
    if (Math.multiplyExact(Tensor.elements(shape()), dtype().bytes()) == 0) {
      return true;
    }
    long last = offset;
    for (int i = 0; i < dims.size(); i++) {
      long reach = Math.multiplyExact(dims.getLong(i) - 1, strides.getLong(i));
      last = Math.addExact(last, reach);
    }
    return last < storage.viewOffset() + storage.viewElements();
  }

  /** Whether its elements lie densely in row-major order. */
  boolean isContiguous() {
    long expected = 1;
    for (int i = dims.size() - 1; i >= 0; i--) {
      if (dims.getLong(i) == 0) {
        return true;
      }
      if (dims.getLong(i) != 1 && strides.getLong(i) != expected) {
        return false;
      }
      expected *= dims.getLong(i);
    }
    return true;
  }

  /**
   * Copies the elements in row-major order.
   *
   * @param from the whole storage
   * @param to room for all elements
   */
  void copy(MemorySegment from, MemorySegment to) {
    long width = dims.getLong(dims.size() - 1);
    long step = strides.getLong(dims.size() - 1);
    long rows = Tensor.elements(shape()) / width;
    long[] index = new long[dims.size()];
    long source = offset;
    for (long row = 0; row < rows; row++) {
      copyRow(from, source, step, to, row * width, width);
      // Count up: the last dimension is the row itself.
      for (int d = dims.size() - 2; d >= 0; d--) {
        source += strides.getLong(d);
        if (++index[d] < dims.getLong(d)) {
          break;
        }
        source -= strides.getLong(d) * dims.getLong(d);
        index[d] = 0;
      }
    }
  }

  private void copyRow(
      MemorySegment from, long source, long step, MemorySegment to, long target, long width) {
    int bytes = dtype().bytes();
    switch (bytes) {
      case 1 -> {
        for (long i = 0; i < width; i++) {
          to.set(
              ValueLayout.JAVA_BYTE,
              target + i,
              from.get(ValueLayout.JAVA_BYTE, source + i * step));
        }
      }
      case 2 -> {
        for (long i = 0; i < width; i++) {
          short element = from.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * (source + i * step));
          to.set(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * (target + i), element);
        }
      }
      case 4 -> {
        for (long i = 0; i < width; i++) {
          int element = from.get(ValueLayout.JAVA_INT_UNALIGNED, 4 * (source + i * step));
          to.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * (target + i), element);
        }
      }
      default -> {
        for (long i = 0; i < width; i++) {
          long element = from.get(ValueLayout.JAVA_LONG_UNALIGNED, 8 * (source + i * step));
          to.set(ValueLayout.JAVA_LONG_UNALIGNED, 8 * (target + i), element);
        }
      }
    }
  }
}
