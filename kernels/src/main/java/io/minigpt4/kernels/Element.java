package io.minigpt4.kernels;

import java.util.Locale;

/** Element types of arrays that kernels read and write. */
public enum Element {
  /** IEEE 754 binary32. */
  F32(0, 4),
  /** IEEE 754 binary16. */
  F16(1, 2),
  /** The upper half of a binary32. */
  BF16(2, 2);

  private final int code;
  private final int bytes;
  private final String suffix;

  Element(int code, int bytes) {
    this.code = code;
    this.bytes = bytes;
    this.suffix = "_" + name().toLowerCase(Locale.ROOT);
  }

  /** Size of one element in bytes. */
  public int bytes() {
    return bytes;
  }

  /** The number by which kernels know it ({@code ElementCode} in common.cuh). */
  int code() {
    return code;
  }

  /** What names of kernels for this type end in, such as {@code _f16}. */
  String suffix() {
    return suffix;
  }
}
