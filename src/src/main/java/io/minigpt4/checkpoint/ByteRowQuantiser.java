package io.minigpt4.checkpoint;

import static jdk.incubator.vector.VectorOperators.MAX;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/** Rows of Q8: a scale each, the largest magnitude / 127. */
final class ByteRowQuantiser extends RowQuantiser {
  private static final int MAGNITUDE = 0x7fff_ffff;

  private final int[] words;
  private final byte[] bytes;
  private float scale;

  /**
   * @param width elements of a row
   */
  ByteRowQuantiser(int width) {
    super(width, (width + N - 1) / N * N);
    this.words = new int[values.length];
    this.bytes = new byte[width];
  }

  @Override
  void quantise() {
    float max = largest();
    scale = max / 127;
    if (max < SMALLEST) {
      nothing();
      return;
    }
    FloatVector inverse = FloatVector.broadcast(SPECIES, 127 / max);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector errors = FloatVector.zero(SPECIES);
    for (int i = 0; i < values.length; i += N) {
      FloatVector value = FloatVector.fromArray(SPECIES, values, i).mul(inverse);
      FloatVector rounded = value.add(ROUND);
      rounded.reinterpretAsInts().intoArray(words, i);
      FloatVector error = value.sub(rounded.sub(ROUND));
      squares = value.fma(value, squares);
      errors = error.fma(error, errors);
    }
    for (int i = 0; i < width; i++) {
      bytes[i] = (byte) words[i];
    }
    double square = (double) scale * scale;
    count(square * sum(squares), square * sum(errors));
  }

  /** The largest magnitude; NaN if that is among the elements. */
  private float largest() {
    IntVector most = IntVector.zero(IntVector.SPECIES_PREFERRED);
    for (int i = 0; i < values.length; i += N) {
      most = most.max(FloatVector.fromArray(SPECIES, values, i).reinterpretAsInts().and(MAGNITUDE));
    }
    return Float.intBitsToFloat(most.reduceLanes(MAX));
  }

  private void nothing() {
    double sum = 0;
    for (int i = 0; i < width; i++) {
      sum += (double) values[i] * values[i];
      bytes[i] = 0;
    }
    count(sum, sum);
  }

  private static double sum(FloatVector lanes) {
    double sum = 0;
    for (float lane : lanes.toArray()) {
      sum += lane;
    }
    return sum;
  }

  @Override
  void write(MemorySegment elements, MemorySegment scales) {
    MemorySegment.copy(bytes, 0, elements, ValueLayout.JAVA_BYTE, 0, width);
    scales.set(FLOAT, 0, scale);
  }
}
