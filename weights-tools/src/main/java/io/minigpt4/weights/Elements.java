package io.minigpt4.weights;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Floating-point elements from one type to another, rounded to the nearest and to even when two are
 * equally near. The work is done in small arrays that stay in the processor's cache.
 *
 * <p>Not safe for use by several threads.
 */
final class Elements {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfDouble DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** Elements that are worked on at once. */
  static final int BLOCK = 8192;

  /** Bits of the largest finite float32 without its sign. */
  private static final int LARGEST = 0x7f7fffff;

  private final short[] halves = new short[BLOCK];
  private final double[] doubles = new double[BLOCK];
  private final float[] values = new float[BLOCK];
  private long overflows;

  /** How many finite values became infinite so far, because the new type does not reach so far. */
  long overflows() {
    return overflows;
  }

  /**
   * Converts elements.
   *
   * @param from of type {@code fromType}, floating
   * @param to room for as many of type {@code toType}: F32, F16 or BF16
   */
  void convert(DType fromType, MemorySegment from, DType toType, MemorySegment to) {
    long count = from.byteSize() / fromType.bytes();
    for (long at = 0; at < count; at += BLOCK) {
      int n = (int) Math.min(BLOCK, count - at);
      read(fromType, from, at, n, values);
      write(values, n, toType, to, at);
    }
  }

  /**
   * Reads elements as float32.
   *
   * @param at the first element
   * @param n how many, at most {@link #BLOCK}
   */
  void read(DType type, MemorySegment from, long at, int n, float[] out) {
    switch (type) {
      case F32 -> MemorySegment.copy(from, FLOAT, 4 * at, out, 0, n);
      case F16 -> {
        MemorySegment.copy(from, SHORT, 2 * at, halves, 0, n);
        for (int i = 0; i < n; i++) {
          out[i] = Float.float16ToFloat(halves[i]);
        }
      }
      case BF16 -> {
        MemorySegment.copy(from, SHORT, 2 * at, halves, 0, n);
        for (int i = 0; i < n; i++) {
          out[i] = Float.intBitsToFloat(halves[i] << 16);
        }
      }
      case F64 -> {
        MemorySegment.copy(from, DOUBLE, 8 * at, doubles, 0, n);
        for (int i = 0; i < n; i++) {
          out[i] = (float) doubles[i];
        }
      }
      default -> throw new IllegalArgumentException("not a floating-point type: " + type);
    }
  }

  /**
   * Writes float32 values as elements.
   *
   * @param n how many, at most {@link #BLOCK}
   * @param at the first element
   */
  void write(float[] from, int n, DType type, MemorySegment to, long at) {
    switch (type) {
      case F32 -> MemorySegment.copy(from, 0, to, FLOAT, 4 * at, n);
      case F16 -> {
        for (int i = 0; i < n; i++) {
          halves[i] = Float.floatToFloat16(from[i]);
        }
        // Halfway between the largest float16 and what would come next.
        countOverflows(from, n, 65520);
        MemorySegment.copy(halves, 0, to, SHORT, 2 * at, n);
      }
      case BF16 -> {
        for (int i = 0; i < n; i++) {
          halves[i] = bfloat16(from[i]);
        }
        countOverflows(from, n, Float.intBitsToFloat(0x7f7f8000));
        MemorySegment.copy(halves, 0, to, SHORT, 2 * at, n);
      }
      default -> throw new IllegalArgumentException("weights are not written as " + type);
    }
  }

  /** The upper half of a float32, rounded to nearest even; NaN stays NaN. */
  static short bfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int rounded = (bits + 0x7fff + (bits >>> 16 & 1)) >>> 16;
    return (short) ((bits & 0x7fffffff) > 0x7f800000 ? bits >>> 16 | 0x40 : rounded);
  }

  private void countOverflows(float[] from, int n, float limit) {
    int smallest = Float.floatToRawIntBits(limit);
    int count = 0;
    for (int i = 0; i < n; i++) {
      int magnitude = Float.floatToRawIntBits(from[i]) & 0x7fffffff;
      count += magnitude >= smallest && magnitude <= LARGEST ? 1 : 0;
    }
    overflows += count;
  }
}
