package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class ElementsTest {
  private static float[] awkward() {
    Random random = new Random(5);
    float[] values = new float[3 * Elements.BLOCK + 17];
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(random.nextInt());
      if (i % 4 == 0) { // a tie between two bfloat16
        values[i] = Float.intBitsToFloat(random.nextInt() << 16 | 0x8000);
      }
      if (i % 4 == 1) { // within reach of float16
        values[i] = (float) (random.nextGaussian() * Math.pow(2, random.nextInt(-26, 12)));
      }
    }
    values[0] = Float.NaN;
    values[1] = Float.POSITIVE_INFINITY;
    values[2] = -0f;
    values[3] = Float.MAX_VALUE;
    values[4] = Float.intBitsToFloat(0x7f800001); // a NaN that truncation would make infinite
    values[5] = Float.MIN_VALUE;
    return values;
  }

  private static float[] through(float[] values, DType type) {
    MemorySegment from = MemorySegment.ofArray(values);
    MemorySegment half = MemorySegment.ofArray(new byte[values.length * type.bytes()]);
    float[] back = new float[values.length];
    new Elements().convert(DType.F32, from, type, half);
    new Elements().convert(type, half, DType.F32, MemorySegment.ofArray(back));
    return back;
  }

  /** Compares with both neighbours in double arithmetic, which is exact for these. */
  @Test
  void bfloat16IsTheNearestAndEvenWhereTwoAreEquallyNear() {
    float[] values = awkward();
    float[] rounded = through(values, DType.BF16);
    for (int i = 0; i < values.length; i++) {
      if (!Float.isFinite(values[i])) {
        assertThat(Float.compare(rounded[i], values[i])).isZero(); // NaN equals NaN here
        continue;
      }
      int low = Float.floatToRawIntBits(values[i]) & 0xffff0000;
      double down = Float.intBitsToFloat(low);
      double up = Float.intBitsToFloat(low + 0x10000);
      if (Double.isInfinite(up)) {
        up = Math.copySign(Math.scalb(1.0, 128), values[i]);
      }
      double toDown = Math.abs(values[i] - down);
      double toUp = Math.abs(up - values[i]);
      boolean even = (low >>> 16 & 1) == 0;
      double expected = toDown < toUp || (toDown == toUp && even) ? down : up;
      assertThat(rounded[i]).as("%s", values[i]).isEqualTo((float) expected);
    }
  }

  /** Every upper half with lower halves about the tie, of every length up to some vectors. */
  @Test
  void vectorsRoundToBfloat16AsSingleValuesDo() {
    int[] lower = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    float[] values = new float[lower.length << 16];
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(0x10000 * (i / lower.length) + lower[i % lower.length]);
    }
    short[] rounded = new short[values.length];
    Elements elements = new Elements();
    elements.convert(
        DType.F32, MemorySegment.ofArray(values), DType.BF16, MemorySegment.ofArray(rounded));
    long overflows = 0;
    for (int i = 0; i < values.length; i++) {
      assertThat(rounded[i]).as("%x", i).isEqualTo(Elements.bfloat16(values[i]));
      float back = Float.intBitsToFloat(rounded[i] << 16);
      overflows += Float.isFinite(values[i]) && Float.isInfinite(back) ? 1 : 0;
      assertThat(Float.isNaN(back)).isEqualTo(Float.isNaN(values[i]));
    }
    assertThat(elements.overflows()).isEqualTo(overflows).isEqualTo(6); // 3 of either sign
    for (int n = 0; n < 70; n++) {
      float[] few = Arrays.copyOfRange(values, 5 * n, 6 * n);
      short[] out = new short[n];
      new Elements()
          .convert(DType.F32, MemorySegment.ofArray(few), DType.BF16, MemorySegment.ofArray(out));
      assertThat(out).isEqualTo(Arrays.copyOfRange(rounded, 5 * n, 6 * n));
    }
  }

  @Test
  void everyHalfComesBackAsItWas() {
    for (DType type : new DType[] {DType.F16, DType.BF16}) {
      short[] all = new short[1 << 16];
      for (int i = 0; i < all.length; i++) {
        all[i] = (short) i;
      }
      float[] wide = new float[all.length];
      short[] back = new short[all.length];
      new Elements()
          .convert(type, MemorySegment.ofArray(all), DType.F32, MemorySegment.ofArray(wide));
      new Elements()
          .convert(DType.F32, MemorySegment.ofArray(wide), type, MemorySegment.ofArray(back));
      for (int i = 0; i < all.length; i++) {
        if (!Float.isNaN(wide[i])) {
          assertThat(back[i]).isEqualTo(all[i]);
        } else {
          float again =
              type == DType.F16
                  ? Float.float16ToFloat(back[i])
                  : Float.intBitsToFloat(back[i] << 16);
          assertThat(again).isNaN();
        }
      }
    }
  }

  @Test
  void valuesThatATypeCannotHoldAreCounted() {
    float[] values = {65504, 65519.99f, 65520, -1e30f, Float.POSITIVE_INFINITY, Float.NaN, 0};
    MemorySegment to = MemorySegment.ofArray(new short[values.length]);
    Elements half = new Elements();
    half.convert(DType.F32, MemorySegment.ofArray(values), DType.F16, to);
    Elements brain = new Elements();
    brain.convert(DType.F32, MemorySegment.ofArray(values), DType.BF16, to);
    Elements top = new Elements();
    float[] largest = {Float.MAX_VALUE, -Float.MAX_VALUE};
    top.convert(DType.F32, MemorySegment.ofArray(largest), DType.BF16, to);

    assertThat(half.overflows()).isEqualTo(2);
    assertThat(brain.overflows()).isZero();
    assertThat(top.overflows()).isEqualTo(2);
  }
}
