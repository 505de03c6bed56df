package io.minigpt4.weights;

import static jdk.incubator.vector.VectorOperators.GE;
import static jdk.incubator.vector.VectorOperators.GT;
import static jdk.incubator.vector.VectorOperators.I2S;
import static jdk.incubator.vector.VectorOperators.LSHR;
import static jdk.incubator.vector.VectorOperators.LT;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

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

  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;

  /** As many lanes as {@link #INTS}. */
  private static final VectorSpecies<Short> SHORTS =
      VectorSpecies.of(short.class, VectorShape.forBitSize(INTS.vectorBitSize() / 2));

  private static final int MAGNITUDE = 0x7fff_ffff;

  /** Bits of infinity; NaN is above. */
  private static final int INFINITE = 0x7f80_0000;

  /** Halfway between the largest bfloat16 and what would come next. */
  private static final int BRAIN_LIMIT = 0x7f7f_8000;

  private final short[] halves = new short[BLOCK];
  private double[] doubles = {};
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
        if (doubles.length == 0) {
          doubles = new double[BLOCK];
        }
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
        brains(from, n);
        MemorySegment.copy(halves, 0, to, SHORT, 2 * at, n);
      }
      default -> throw new IllegalArgumentException("weights are not written as " + type);
    }
  }

  /** Makes {@link #halves} the bfloat16 of the first values. */
  private void brains(float[] from, int n) {
    int vectors = INTS.loopBound(n);
    int count = 0;
    for (int i = 0; i < vectors; i += INTS.length()) {
      IntVector bits = FloatVector.fromArray(FLOATS, from, i).reinterpretAsInts();
      IntVector magnitude = bits.and(MAGNITUDE);
      IntVector odd = bits.lanewise(LSHR, 16).and(1);
      IntVector upper = bits.add(odd).add(0x7fff).lanewise(LSHR, 16);
      IntVector quiet = bits.lanewise(LSHR, 16).or(0x40);
      VectorMask<Integer> nan = magnitude.compare(GT, INFINITE);
      ShortVector half = (ShortVector) upper.blend(quiet, nan).convertShape(I2S, SHORTS, 0);
      half.intoArray(halves, i);
      VectorMask<Integer> large = magnitude.compare(GE, BRAIN_LIMIT);
      count += large.and(magnitude.compare(LT, INFINITE)).trueCount();
    }
    for (int i = vectors; i < n; i++) {
      halves[i] = bfloat16(from[i]);
      int magnitude = Float.floatToRawIntBits(from[i]) & MAGNITUDE;
      count += magnitude >= BRAIN_LIMIT && magnitude < INFINITE ? 1 : 0;
    }
    overflows += count;
  }

  /** The upper half of a float32, rounded to nearest even; NaN stays NaN. */
  static short bfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int rounded = (bits + 0x7fff + (bits >>> 16 & 1)) >>> 16;
    return (short) ((bits & MAGNITUDE) > INFINITE ? bits >>> 16 | 0x40 : rounded);
  }

  private void countOverflows(float[] from, int n, float limit) {
    int smallest = Float.floatToRawIntBits(limit);
    int count = 0;
    for (int i = 0; i < n; i++) {
      int magnitude = Float.floatToRawIntBits(from[i]) & MAGNITUDE;
      count += magnitude >= smallest && magnitude < INFINITE ? 1 : 0;
    }
    overflows += count;
  }
}
