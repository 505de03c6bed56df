package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;

/**
 * A reference to a PyTorch storage: a flat run of elements that tensors look into.
 *
 * @param key its name in the file
 * @param elements elements of the whole storage
 * @param viewOffset where this view of it begins, in elements; 0 unless it is a view
 * @param viewElements elements of the view; {@code elements} unless it is a view
 */
record TorchStorage(String key, DType dtype, long elements, long viewOffset, long viewElements) {
  /** Bytes of the whole storage. */
  long bytes() {
    return elements * dtype.bytes();
  }
}
