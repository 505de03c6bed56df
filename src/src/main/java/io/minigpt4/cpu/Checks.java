package io.minigpt4.cpu;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** What must hold before raw addresses are used. */
final class Checks {
  private Checks() {}

  /**
   * The address of memory that can be read now.
   *
   * @throws IllegalStateException if its arena has been closed
   */
  static long address(Tensor tensor) {
    MemorySegment segment = tensor.segment();
    if (!segment.scope().isAlive()) {
      throw new IllegalStateException("the memory of " + tensor + " has been released");
    }
    if (!segment.isNative()) {
      throw new IllegalArgumentException(tensor + " is on the Java heap; load it first");
    }
    return segment.address();
  }

  static void dense(Tensor tensor, String name) {
    if (!tensor.isDense()) {
      throw new IllegalArgumentException(name + " must have no gaps between rows: " + tensor);
    }
  }

  static void activation(Tensor tensor, String name) {
    if (tensor.dtype() != DType.F32) {
      throw new IllegalArgumentException(name + " must be of type F32: " + tensor);
    }
  }

  static void weight(Tensor tensor, String name) {
    DType type = tensor.dtype();
    if (type != DType.F32 && type != DType.F16 && type != DType.BF16) {
      throw new IllegalArgumentException(name + " must be of type F32, F16 or BF16: " + tensor);
    }
    dense(tensor, name);
  }

  /** A weight of {@code elements} elements, whatever its shape. */
  static void vector(Tensor tensor, long elements, String name) {
    weight(tensor, name);
    if (tensor.elements() != elements) {
      throw new IllegalArgumentException(name + " must have " + elements + " elements: " + tensor);
    }
  }

  /** Two activations with as many rows of the same width. */
  static void sameRows(Tensor x, Tensor other, String name) {
    activation(x, "x");
    activation(other, name);
    if (x.rows() != other.rows() || x.width() != other.width()) {
      throw new IllegalArgumentException(name + " " + other + " does not match " + x);
    }
  }

  /** Native memory for a tensor's elements as floats. */
  static void holds(MemorySegment floats, Tensor tensor) {
    DType type = tensor.dtype();
    if (type != DType.F32 && type != DType.F16 && type != DType.BF16) {
      throw new IllegalArgumentException("cannot convert " + tensor + " from or to floats");
    }
    if (floats.byteSize() < tensor.elements() * Float.BYTES) {
      throw new IllegalArgumentException(
          "a segment of " + floats.byteSize() + " bytes does not hold the floats of " + tensor);
    }
    if (!floats.scope().isAlive()) {
      throw new IllegalStateException("the host segment has been released");
    }
  }

  /** The one pool that all caches of a batch come from, after checking that q and layer fit it. */
  static KvCache.Pool pool(Batch batch, Tensor q, int layer) {
    activation(q, "q");
    KvCache.Pool pool = batch.cache(0).pool();
    for (int i = 1; i < batch.size(); i++) {
      if (batch.cache(i).pool() != pool) {
        throw new IllegalArgumentException("the caches of a batch must share a pool");
      }
    }
    if (layer < 0 || layer >= pool.layers()) {
      throw new IllegalArgumentException("layer " + layer + " of " + pool.layers());
    }
    if (q.rows() != batch.totalRows()) {
      throw new IllegalArgumentException(
          "q " + q + " does not have the batch's " + batch.totalRows() + " rows");
    }
    if (q.width() % ((long) pool.headDim() * pool.kvHeads()) != 0) {
      throw new IllegalArgumentException(
          "q " + q + " does not fit " + pool.kvHeads() + " key heads of " + pool.headDim());
    }
    return pool;
  }
}
