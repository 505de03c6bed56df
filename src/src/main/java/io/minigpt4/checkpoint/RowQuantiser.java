package io.minigpt4.checkpoint;

import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Quantises a matrix for {@link Quantiser}, a row at a time: {@link #read}, {@link #quantise},
 * {@link #write}. It belongs to one thread.
 */
abstract class RowQuantiser {
  static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  static final int N = SPECIES.length();

  static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /**
   * Adding it to a float of magnitude up to 2²² rounds that to the nearest integer, ties to even,
   * which is then {@link #ROUND_BITS} less than the sum's bits.
   */
  static final float ROUND = 3 << 22;

  static final int ROUND_BITS = Float.floatToRawIntBits(ROUND);

  /** Magnitudes below this one count as nothing where something is divided by them. */
  static final float SMALLEST = Float.MIN_NORMAL * 256;

  final int width;
  final float[] values;
  private final short[] halves;
  private double squares;
  private double errors;

  /**
   * @param width elements of a row
   * @param padded how many there are with the zeros that fill the row up
   */
  RowQuantiser(int width, int padded) {
    this.width = width;
    this.values = new float[padded];
    this.halves = new short[width];
  }

  /**
   * Takes a row as floats.
   *
   * @param from [rows, width], dense, floating
   */
  final void read(Tensor from, long row) {
    MemorySegment segment = from.segment();
    long at = row * width * from.dtype().bytes();
    switch (from.dtype()) {
      case F32 -> MemorySegment.copy(segment, FLOAT, at, values, 0, width);
      case F16 -> {
        MemorySegment.copy(segment, SHORT, at, halves, 0, width);
        for (int i = 0; i < width; i++) {
          values[i] = Float.float16ToFloat(halves[i]);
        }
      }
      case BF16 -> {
        MemorySegment.copy(segment, SHORT, at, halves, 0, width);
        for (int i = 0; i < width; i++) {
          values[i] = Float.intBitsToFloat(halves[i] << 16);
        }
      }
      default -> throw new IllegalArgumentException("cannot quantise " + from);
    }
  }

  /** Quantises the row that was read, and counts what it loses. */
  abstract void quantise();

  /** Writes the row in the form of {@link io.minigpt4.tensor.Quantised}. */
  abstract void write(MemorySegment elements, MemorySegment scales);

  /** Adds to what {@link #deviation} tells. */
  final void count(double moreSquares, double moreErrors) {
    squares += moreSquares;
    errors += moreErrors;
  }

  /** Of all rows so far. */
  final Quantiser.Deviation deviation() {
    return new Quantiser.Deviation(squares, errors);
  }
}
