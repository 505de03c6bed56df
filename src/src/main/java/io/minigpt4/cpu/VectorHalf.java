package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.AND;
import static jdk.incubator.vector.VectorOperators.FMA;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;
import static jdk.incubator.vector.VectorOperators.OR;
import static jdk.incubator.vector.VectorOperators.ZERO_EXTEND_S2I;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * Loads IEEE 754 binary16 as float32 by shifts and masks, since the Vector API does not offer the
 * processor's own conversion and C2 puts it into plain loops only some of the time.
 *
 * <p>The bits of a half, moved to where a float has its exponent and fraction, with the exponent's
 * three new upper bits set, are the float of 2<sup>112</sup> times the value: an exponent of 31
 * becomes 255, so that infinities and NaNs stay what they are. Only where the half's exponent is
 * zero is there no hidden one: there 2<sup>98</sup> too much is taken off, and the fraction counts
 * twice. No step meets a subnormal float, which would cost a hundred cycles on some processors.
 */
final class VectorHalf {
  /** What {@link #scaled} multiplies by. */
  static final float SCALE = 0x1p112f;

  /** {@link #SCALE} times the smallest half with a hidden one. */
  static final float SMALLEST_NORMAL = 0x1p98f;

  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Short> SHORTS =
      VectorSpecies.of(short.class, VectorShape.forBitSize(INTS.vectorBitSize() / 2));
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;

  private VectorHalf() {}

  /**
   * {@link #SCALE} times the halves in the upper 16 bits of each int; the lower may be anything.
   */
  static FloatVector scaled(IntVector halves) {
    FloatVector magnitude =
        halves
            .lanewise(LSHR, 3)
            .lanewise(AND, 0x0fffe000)
            .lanewise(OR, 0x70000000)
            .reinterpretAsFloats();
    magnitude =
        magnitude.lanewise(
            FMA,
            FloatVector.broadcast(FLOATS, 2f),
            FloatVector.broadcast(FLOATS, -SMALLEST_NORMAL),
            magnitude.lt(SMALLEST_NORMAL));
    return halves.lanewise(AND, 0x80000000).or(magnitude.reinterpretAsInts()).reinterpretAsFloats();
  }

  /** As many elements as a float vector has lanes. */
  static FloatVector load(long address) {
    IntVector halves =
        ShortVector.fromMemorySegment(SHORTS, Memory.ALL, address, ByteOrder.LITTLE_ENDIAN)
            .convertShape(ZERO_EXTEND_S2I, INTS, 0)
            .reinterpretAsInts()
            .lanewise(LSHL, 16);
    return scaled(halves).mul(1 / SCALE);
  }
}
