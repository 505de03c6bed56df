package io.minigpt4.checkpoint;

import static jdk.incubator.vector.VectorOperators.GT;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;
import static jdk.incubator.vector.VectorOperators.LT;
import static jdk.incubator.vector.VectorOperators.ROL;

import io.minigpt4.tensor.Quantised;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;

/** Rows of Q4: the scale of each group is searched for; sixteen groups lie side by side. */
final class NibbleRowQuantiser extends RowQuantiser {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final int LANES = Quantised.LANES;

  /** Bits of {@link #ROUND} − 8 and {@link #ROUND} + 7. */
  private static final int LEAST = ROUND_BITS - Quantised.ZERO;

  private static final int MOST = ROUND_BITS + 7;

  private static final int FIRST_CANDIDATE = -2;
  private static final int LAST_CANDIDATE = 8;
  private static final float CANDIDATE_STEP = 0.05f;

  private final int group;
  private final int blocks;
  private final float[] scales;
  private final short[] rounded;
  private final int[] words;

  /** A block in units in which each group's largest element is −8. */
  private final float[] units;

  /** What a unit is, for each group. */
  private final float[] unitOf = new float[LANES];

  private final float[] products = new float[LANES];
  private final float[] norms = new float[LANES];
  private final float[] best = new float[LANES];
  private final float[] fitting = new float[LANES];
  private final float[] squares = new float[LANES];
  private final float[] errors = new float[LANES];

  /**
   * @param width elements of a row
   * @param group elements that share a scale
   */
  NibbleRowQuantiser(int width, int group) {
    super(width, (int) Quantised.blocks(width, group) * LANES * group);
    this.group = group;
    this.blocks = (int) Quantised.blocks(width, group);
    this.scales = new float[blocks * LANES];
    this.rounded = new short[scales.length];
    this.words = new int[values.length / 8];
    this.units = new float[LANES * group];
  }

  @Override
  void quantise() {
    for (int block = 0; block < blocks; block++) {
      for (int lane = 0; lane < LANES; lane += N) {
        search(block, lane);
      }
      for (int i = block * LANES; i < (block + 1) * LANES; i++) {
        scales[i] = Float.intBitsToFloat(brain(scales[i]) << 16);
      }
      for (int lane = 0; lane < LANES; lane += N) {
        round(block, lane);
      }
      for (int lane = 0; lane < LANES; lane++) {
        countLane(block, lane);
      }
    }
  }

  /** Finds the scales of a block's groups from {@code lane} on, as many as a vector has lanes. */
  private void search(int block, int lane) {
    toUnits(block * LANES * group + lane, lane);
    for (int candidate = FIRST_CANDIDATE; candidate <= LAST_CANDIDATE; candidate++) {
      roundUnits(lane, 1 / (1 + candidate * CANDIDATE_STEP));
      choose(lane);
    }
    FloatVector unit = FloatVector.fromArray(SPECIES, unitOf, lane);
    FloatVector.fromArray(SPECIES, fitting, lane).mul(unit).intoArray(scales, block * LANES + lane);
  }

  /** Fills {@link #units} and {@link #unitOf}, and forgets the best candidate. */
  private void toUnits(int first, int lane) {
    FloatVector extreme = FloatVector.zero(SPECIES);
    for (int e = 0; e < group; e++) {
      FloatVector value = FloatVector.fromArray(SPECIES, values, first + e * LANES);
      extreme = extreme.blend(value, value.abs().compare(GT, extreme.abs()));
    }
    VectorMask<Float> nothing = extreme.abs().compare(LT, SMALLEST);
    FloatVector unit = extreme.div(-8).blend(0, nothing);
    unit.intoArray(unitOf, lane);
    FloatVector inverse = FloatVector.broadcast(SPECIES, 1).div(unit).blend(0, nothing);
    for (int e = 0; e < group; e++) {
      FloatVector value = FloatVector.fromArray(SPECIES, values, first + e * LANES);
      value.mul(inverse).intoArray(units, lane + e * LANES);
    }
    FloatVector.zero(SPECIES).intoArray(best, lane);
    FloatVector.zero(SPECIES).intoArray(fitting, lane);
  }

  /** Σwq and Σq² of each group, where q is w · stretch rounded. */
  private void roundUnits(int lane, float stretch) {
    FloatVector products = FloatVector.zero(SPECIES);
    FloatVector norms = FloatVector.zero(SPECIES);
    for (int e = 0; e < group; e++) {
      FloatVector value = FloatVector.fromArray(SPECIES, units, lane + e * LANES);
      IntVector bits = value.mul(stretch).add(ROUND).reinterpretAsInts();
      FloatVector q = bits.min(MOST).max(LEAST).reinterpretAsFloats().sub(ROUND);
      products = value.fma(q, products);
      norms = q.fma(q, norms);
    }
    products.intoArray(this.products, lane);
    norms.intoArray(this.norms, lane);
  }

  /** Keeps what {@link #roundUnits} found where it is the best so far. */
  private void choose(int lane) {
    FloatVector product = FloatVector.fromArray(SPECIES, products, lane);
    // 0 / 0, which is greater than nothing, where all elements of a group are zero.
    FloatVector scale = product.div(FloatVector.fromArray(SPECIES, norms, lane));
    FloatVector gain = product.mul(scale);
    FloatVector before = FloatVector.fromArray(SPECIES, best, lane);
    VectorMask<Float> better = gain.compare(GT, before);
    before.blend(gain, better).intoArray(best, lane);
    FloatVector.fromArray(SPECIES, fitting, lane).blend(scale, better).intoArray(fitting, lane);
  }

  /** Rounds a block's elements for its scales, the groups of {@link #search}. */
  private void round(int block, int lane) {
    FloatVector scale = FloatVector.fromArray(SPECIES, scales, block * LANES + lane);
    VectorMask<Float> nothing = scale.abs().compare(LT, SMALLEST);
    FloatVector inverse = FloatVector.broadcast(SPECIES, 1).div(scale).blend(0, nothing);
    FloatVector squareSum = FloatVector.zero(SPECIES);
    FloatVector errorSum = FloatVector.zero(SPECIES);
    for (int line = 0; line < group / 8; line++) {
      int first = block * LANES * group + line * Quantised.LINE + lane;
      IntVector word = IntVector.zero(IntVector.SPECIES_PREFERRED);
      for (int nibble = 0; nibble < 8; nibble++) {
        FloatVector value = FloatVector.fromArray(SPECIES, values, first + nibble * LANES);
        value = value.mul(inverse);
        IntVector bits = value.add(ROUND).reinterpretAsInts().min(MOST).max(LEAST);
        word = word.lanewise(LSHR, 4).or(bits.sub(LEAST).lanewise(LSHL, 28));
        FloatVector error = value.sub(bits.reinterpretAsFloats().sub(ROUND));
        squareSum = value.fma(value, squareSum);
        errorSum = error.fma(error, errorSum);
      }
      int at = (block * group / 8 + line) * LANES + lane;
      word.lanewise(ROL, Quantised.ROTATION).intoArray(words, at);
    }
    squareSum.intoArray(squares, lane);
    errorSum.intoArray(errors, lane);
  }

  private void countLane(int block, int lane) {
    double scale = scales[block * LANES + lane];
    if (Math.abs(scale) >= SMALLEST) {
      count(scale * scale * squares[lane], scale * scale * errors[lane]);
      return;
    }
    double sum = 0;
    for (int e = 0; e < group; e++) {
      double value = values[(block * group + e) * LANES + lane];
      sum += value * value;
    }
    count(sum, sum);
  }

  @Override
  void write(MemorySegment elements, MemorySegment factors) {
    MemorySegment.copy(words, 0, elements, INT, 0, words.length);
    for (int i = 0; i < scales.length; i++) {
      rounded[i] = brain(scales[i]);
    }
    MemorySegment.copy(rounded, 0, factors, SHORT, 0, rounded.length);
  }

  /** The nearest bfloat16, ties to even. */
  private static short brain(float value) {
    int bits = Float.floatToRawIntBits(value);
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }
}
