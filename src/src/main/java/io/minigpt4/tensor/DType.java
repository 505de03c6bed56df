package io.minigpt4.tensor;

/** Element types of tensors in files and in memory; all little-endian. */
public enum DType {
  /** IEEE 754 binary64. */
  F64(8),
  /** IEEE 754 binary32. */
  F32(4),
  /** IEEE 754 binary16. */
  F16(2),
  /** The upper half of a binary32. */
  BF16(2),
  /** Signed 64-bit integer. */
  I64(8),
  /** Signed 32-bit integer. */
  I32(4),
  /** Signed 16-bit integer. */
  I16(2),
  /** Signed 8-bit integer. */
  I8(1),
  /** Unsigned 8-bit integer. */
  U8(1),
  /** One byte, 0 or 1. */
  BOOL(1),
  /**
   * Signed 8-bit integers with a scale for each row, see {@link Quantised}; not a type of files.
   */
  Q8(1),
  /** 4-bit integers with a scale for each group, see {@link Quantised}; not a type of files. */
  Q4(0);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /**
   * Size of one element in bytes.
   *
   * @throws IllegalStateException for {@link #Q4}, two of which share a byte
   */
  public int bytes() {
    if (bytes == 0) {
      throw new IllegalStateException("elements of " + this + " are smaller than a byte");
    }
    return bytes;
  }

  /** Whether elements mean something only with the scales beside them: {@link #Q8}, {@link #Q4}. */
  public boolean isQuantised() {
    return this == Q8 || this == Q4;
  }

  /** Whether arithmetic is defined on it: F64, F32, F16 or BF16. */
  public boolean isFloating() {
    return this == F64 || this == F32 || this == F16 || this == BF16;
  }
}
