package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;

/**
 * Where the rows of a {@linkplain Quantised quantised} matrix lie, for kernels. An object is set
 * again for each product, so that a decode step makes no garbage.
 */
final class QuantisedRows {
  private DType type = DType.Q8;
  private long elements;
  private long rowBytes;
  private long scales;
  private long scaleBytes;
  private int group;
  private int width;

  /** Points at a matrix. */
  void set(Tensor matrix) {
    type = matrix.dtype();
    group = matrix.group();
    width = Math.toIntExact(matrix.width());
    elements = Checks.address(matrix);
    rowBytes = Quantised.rowBytes(type, width, group);
    scales = Checks.address(matrix.scales());
    scaleBytes = Quantised.rowScales(type, width, group) * Quantised.scaleType(type).bytes();
  }

  /** Q8 or Q4. */
  DType type() {
    return type;
  }

  /** Elements of a row. */
  int width() {
    return width;
  }

  /** Elements that share a scale in Q4. */
  int group() {
    return group;
  }

  /** Blocks of a row in Q4. */
  int blocks() {
    return (int) Quantised.blocks(width, group);
  }

  /** Address of a row's elements. */
  long row(long row) {
    return elements + row * rowBytes;
  }

  /** Bytes from row to row. */
  long rowBytes() {
    return rowBytes;
  }

  /** Address of a row's scales. */
  long scales(long row) {
    return scales + row * scaleBytes;
  }

  /** Bytes from a row's scales to the next row's. */
  long scaleBytes() {
    return scaleBytes;
  }
}
