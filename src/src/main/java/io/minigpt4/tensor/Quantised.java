package io.minigpt4.tensor;

import java.lang.foreign.MemorySegment;

/**
 * How weight matrices [rows, width] lie in 8 and 4 bits, the same in files, in memory and on GPUs.
 *
 * <p><b>Q8</b>: a byte an element, row after row; element = byte · scale of the row. Scales are F32
 * [rows].
 *
 * <p><b>Q4</b>: rows are cut into blocks of {@link #LANES} · group elements, the last one filled up
 * with zeros. Element e of a block belongs to group e mod 16, so that sixteen neighbours are
 * multiplied by sixteen scales that lie side by side. A block is a sequence of little-endian 32-bit
 * words, sixteen (a cache line) for 128 elements: nibble i of word l in line j is element (8j + i)
 * · 16 + l. Element = (nibble − 8) · scale. Nibble i are the bits from 4i + 3 on, counted round the
 * word's end (nibble 7: bits 31, 0, 1, 2), which puts two of them where a float32 has the upper
 * bits of its mantissa after any rotation by a multiple of eight. Scales are BF16 [rows, 16 ·
 * blocks].
 */
public final class Quantised {
  /** Groups in a block of Q4. */
  public static final int LANES = 16;

  /** What nibbles of Q4 are more than the integers that they stand for. */
  public static final int ZERO = 8;

  /** Bits by which a word of Q4 is rotated against nibbles that start at bit 0. */
  public static final int ROTATION = 3;

  /** Elements of a line of Q4, 64 bytes. */
  public static final int LINE = 128;

  private Quantised() {}

  /**
   * Whether Q4's groups may be so large: 8 to 256, a multiple of 8.
   *
   * @param group elements that share a scale
   */
  public static boolean isGroup(long group) {
    return group >= 8 && group <= 256 && group % 8 == 0;
  }

  /** Blocks of a row of Q4. */
  public static long blocks(long width, int group) {
    long block = (long) LANES * group;
    return (width + block - 1) / block;
  }

  /**
   * Bytes of a row.
   *
   * @param group elements that share a scale; of no meaning for Q8
   */
  public static long rowBytes(DType type, long width, int group) {
    return type == DType.Q8 ? width : blocks(width, group) * LANES * group / 2;
  }

  /** Scales of a row. */
  public static long rowScales(DType type, long width, int group) {
    return type == DType.Q8 ? 1 : blocks(width, group) * LANES;
  }

  /** The type that scales have. */
  public static DType scaleType(DType type) {
    return type == DType.Q8 ? DType.F32 : DType.BF16;
  }

  /**
   * A matrix over memory of this form.
   *
   * @param type Q8 or Q4
   * @param elements rows · {@link #rowBytes} bytes
   * @param scales rows · {@link #rowScales} of them
   * @param group of Q4, see {@link #isGroup}; anything for Q8
   * @throws IllegalArgumentException if a segment is too short, or there is no such form
   */
  public static Tensor matrix(
      DType type, MemorySegment elements, MemorySegment scales, int group, long rows, long width) {
    if (!type.isQuantised() || (type == DType.Q4 && !isGroup(group))) {
      throw new IllegalArgumentException("no form of " + type + " with groups of " + group);
    }
    long need = Math.multiplyExact(Tensor.elements(rows), rowBytes(type, width, group));
    if (elements.byteSize() < need) {
      throw new IllegalArgumentException(
          type
              + "["
              + rows
              + ", "
              + width
              + "] needs "
              + need
              + " bytes, the segment has "
              + elements.byteSize());
    }
    Tensor factors = Tensor.of(scaleType(type), scales, rows, rowScales(type, width, group));
    return Tensor.quantised(type, elements.asSlice(0, need), factors, group, rows, width);
  }
}
