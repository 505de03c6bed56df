package io.minigpt4.cpu;

import java.lang.foreign.MemorySegment;

/**
 * Rows of x in the order in which {@link DotKernels} or {@link QuantisedKernels} want them, which
 * put them where they like: kernels in Java into an array, native code outside the heap.
 */
final class Rows implements AutoCloseable {
  private final Buffer heap = new Buffer(0);
  private final Scratch outside = new Scratch();
  private float[] array = {};
  private long address = MemorySegment.NULL.address();

  /** An array with room for so many floats, for {@link #array} to return until the next call. */
  float[] newArray(long floats) {
    array = heap.floats(floats);
    return array;
  }

  /** Address of room for so many floats, for {@link #address} to return until the next call. */
  long newAddress(long floats) {
    address = outside.floats(floats);
    return address;
  }

  float[] array() {
    return array;
  }

  long address() {
    return address;
  }

  @Override
  public void close() {
    outside.close();
  }
}
