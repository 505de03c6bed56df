package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.EQ;
import static jdk.incubator.vector.VectorOperators.LSHL;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels#dots} and conversions: streaming weights from memory.
 *
 * <p>A core has only so many instructions under way at once, and each that is not a load takes the
 * place of one that would fetch a line of weights. So bandwidth is lost by the number of
 * instructions for a line, even though the arithmetic would have time enough: a vector of x is
 * loaded once for four rows of weights, and half-width weights are loaded as ints that hold an even
 * and an odd element.
 */
final class VectorDots {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Short> SHORTS = ShortVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /**
   * What x is multiplied by beside float16 weights, whose bits are taken for those of a float: that
   * is 2<sup>-112</sup> times their value. Half of the exponent here and half at the end, so that
   * elements of x below 2<sup>64</sup> and sums above 2<sup>-78</sup> are as exact as without.
   */
  private static final float HALF_SCALE = 0x1p64f;

  private static final float HALF_BITS = 0x1p-112f;

  private VectorDots() {}

  static void dots(
      DType type,
      float[] x,
      int m,
      long w,
      long wStride,
      int n,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    long rowBytes = wStride * type.bytes();
    if (VectorDotPanels.takes(m)) {
      VectorDotPanels.dots(type, x, m, w, rowBytes, n, k, out, outStride, scratch);
    } else if (m > 1) {
      VectorDotTiles.dots(type, x, m, w, rowBytes, n, k, out, outStride, scratch);
    } else {
      // Four streams, each of which goes on without a gap, as the processor's prefetcher likes it.
      int each = n / 4;
      for (int j = 0; j < each; j++) {
        dotStreams(type, x, w + j * rowBytes, each * rowBytes, k, scratch);
        for (int r = 0; r < 4; r++) {
          Memory.setFloat(out + 4L * (j + r * each), scratch[r]);
        }
      }
      for (int j = 4 * each; j < n; j++) {
        dotStreams(type, x, w + j * rowBytes, 0, k, scratch);
        Memory.setFloat(out + 4L * j, scratch[0]);
      }
    }
  }

  private static void dotStreams(
      DType type, float[] x, long w, long rowBytes, int k, float[] results) {
    if (type == DType.F32) {
      dotFloat(x, w, rowBytes, k, results);
    } else if (type == DType.F16) {
      dotHalf(x, w, rowBytes, k, results);
    } else {
      dotBrain(x, w, rowBytes, k, results);
    }
  }

  private static void dotFloat(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    int bound = SPECIES.loopBound(k);
    for (int i = 0; i < bound; i += N) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, i);
      a = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, w + 4L * i, ORDER).fma(v, a);
      b = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, w1 + 4L * i, ORDER).fma(v, b);
      c = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, w2 + 4L * i, ORDER).fma(v, c);
      d = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, w3 + 4L * i, ORDER).fma(v, d);
    }
    a.intoArray(results, 4);
    b.intoArray(results, 4 + N);
    c.intoArray(results, 4 + 2 * N);
    d.intoArray(results, 4 + 3 * N);
    for (int r = 0; r < 4; r++) {
      results[r] = VectorSums.sum(results, 4 + r * N);
    }
    for (int r = 0; r < 4; r++) {
      for (int i = bound; i < k; i++) {
        results[r] += x[i] * Memory.getFloat(w + r * rowBytes + 4L * i);
      }
    }
  }

  /**
   * Bfloat16: an int holds two elements, of which the odd one needs its lower half cleared and the
   * even one a shift; {@link #arrange} has put even and odd elements of x apart. Whole vectors are
   * loaded, which halves the number of loads that wait for memory.
   */
  private static void dotBrain(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    int half = k / 2;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    IntVector upper = IntVector.broadcast(INTS, 0xffff0000);
    int bound = SPECIES.loopBound(half);
    for (int i = 0; i < bound; i += N) {
      FloatVector even = FloatVector.fromArray(SPECIES, x, i);
      FloatVector odd = FloatVector.fromArray(SPECIES, x, half + i);
      IntVector p = IntVector.fromMemorySegment(INTS, Memory.ALL, w + 4L * i, ORDER);
      a = p.lanewise(LSHL, 16).reinterpretAsFloats().fma(even, a);
      a = p.and(upper).reinterpretAsFloats().fma(odd, a);
      IntVector q = IntVector.fromMemorySegment(INTS, Memory.ALL, w1 + 4L * i, ORDER);
      b = q.lanewise(LSHL, 16).reinterpretAsFloats().fma(even, b);
      b = q.and(upper).reinterpretAsFloats().fma(odd, b);
      IntVector s = IntVector.fromMemorySegment(INTS, Memory.ALL, w2 + 4L * i, ORDER);
      c = s.lanewise(LSHL, 16).reinterpretAsFloats().fma(even, c);
      c = s.and(upper).reinterpretAsFloats().fma(odd, c);
      IntVector t = IntVector.fromMemorySegment(INTS, Memory.ALL, w3 + 4L * i, ORDER);
      d = t.lanewise(LSHL, 16).reinterpretAsFloats().fma(even, d);
      d = t.and(upper).reinterpretAsFloats().fma(odd, d);
    }
    a.intoArray(results, 4);
    b.intoArray(results, 4 + N);
    c.intoArray(results, 4 + 2 * N);
    d.intoArray(results, 4 + 3 * N);
    for (int r = 0; r < 4; r++) {
      results[r] = VectorSums.sum(results, 4 + r * N);
    }
    for (int r = 0; r < 4; r++) {
      long row = w + r * rowBytes;
      for (int i = bound; i < half; i++) {
        results[r] += x[i] * brain(row + 4L * i) + x[half + i] * brain(row + 4L * i + 2);
      }
      if (k % 2 != 0) {
        results[r] += x[k - 1] * brain(row + 2L * (k - 1));
      }
    }
  }

  /**
   * Float16, as {@link #dotBrain}: sign, exponent and fraction are moved to where a float has them,
   * which makes a float of {@link #HALF_BITS} times the value. That holds neither for infinities
   * and NaNs nor, on processors that take a hundred cycles for a subnormal float, for subnormal
   * halves. A line that has such a half, or a zero, is converted the long way; of the weights of
   * language models about one line in fourteen is.
   *
   * <p>No methods but those of the Vector API take or give a vector here: there are so many that C2
   * would not inline another.
   */
  private static void dotHalf(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    int half = k / 2;
    int at = 4 + 4 * N;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    IntVector bits = IntVector.broadcast(INTS, 0x8fffe000);
    // An exponent of 0 or 31, and no other, has none of its upper four bits left when one is added.
    ShortVector one = ShortVector.broadcast(SHORTS, 0x0400);
    ShortVector high = ShortVector.broadcast(SHORTS, 0x7800);
    int bound = SPECIES.loopBound(half);
    for (int i = 0; i < bound; i += N) {
      FloatVector even = FloatVector.fromArray(SPECIES, x, i);
      FloatVector odd = FloatVector.fromArray(SPECIES, x, half + i);
      IntVector p = IntVector.fromMemorySegment(INTS, Memory.ALL, w + 4L * i, ORDER);
      if (p.reinterpretAsShorts().add(one).and(high).compare(EQ, (short) 0).anyTrue()) {
        halfToPairs(w + 4L * i, results, at);
        a = FloatVector.fromArray(SPECIES, results, at).fma(even.mul(HALF_BITS), a);
        a = FloatVector.fromArray(SPECIES, results, at + N).fma(odd.mul(HALF_BITS), a);
      } else {
        a = p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(even, a);
        a = p.lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(odd, a);
      }
      IntVector q = IntVector.fromMemorySegment(INTS, Memory.ALL, w1 + 4L * i, ORDER);
      if (q.reinterpretAsShorts().add(one).and(high).compare(EQ, (short) 0).anyTrue()) {
        halfToPairs(w1 + 4L * i, results, at);
        b = FloatVector.fromArray(SPECIES, results, at).fma(even.mul(HALF_BITS), b);
        b = FloatVector.fromArray(SPECIES, results, at + N).fma(odd.mul(HALF_BITS), b);
      } else {
        b = q.lanewise(LSHL, 16).lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(even, b);
        b = q.lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(odd, b);
      }
      IntVector s = IntVector.fromMemorySegment(INTS, Memory.ALL, w2 + 4L * i, ORDER);
      if (s.reinterpretAsShorts().add(one).and(high).compare(EQ, (short) 0).anyTrue()) {
        halfToPairs(w2 + 4L * i, results, at);
        c = FloatVector.fromArray(SPECIES, results, at).fma(even.mul(HALF_BITS), c);
        c = FloatVector.fromArray(SPECIES, results, at + N).fma(odd.mul(HALF_BITS), c);
      } else {
        c = s.lanewise(LSHL, 16).lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(even, c);
        c = s.lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(odd, c);
      }
      IntVector t = IntVector.fromMemorySegment(INTS, Memory.ALL, w3 + 4L * i, ORDER);
      if (t.reinterpretAsShorts().add(one).and(high).compare(EQ, (short) 0).anyTrue()) {
        halfToPairs(w3 + 4L * i, results, at);
        d = FloatVector.fromArray(SPECIES, results, at).fma(even.mul(HALF_BITS), d);
        d = FloatVector.fromArray(SPECIES, results, at + N).fma(odd.mul(HALF_BITS), d);
      } else {
        d = t.lanewise(LSHL, 16).lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(even, d);
        d = t.lanewise(ASHR, 3).and(bits).reinterpretAsFloats().fma(odd, d);
      }
    }
    a.intoArray(results, 4);
    b.intoArray(results, 4 + N);
    c.intoArray(results, 4 + 2 * N);
    d.intoArray(results, 4 + 3 * N);
    for (int r = 0; r < 4; r++) {
      results[r] = VectorSums.sum(results, 4 + r * N) * (1 / (HALF_SCALE * HALF_BITS));
    }
    float unscale = 1 / HALF_SCALE;
    for (int r = 0; r < 4; r++) {
      long row = w + r * rowBytes;
      for (int i = bound; i < half; i++) {
        float even = unscale * x[i];
        float odd = unscale * x[half + i];
        results[r] += even * half(row + 4L * i) + odd * half(row + 4L * i + 2);
      }
      if (k % 2 != 0) {
        results[r] += unscale * x[k - 1] * half(row + 2L * (k - 1));
      }
    }
  }

  /** A line's even elements at {@code at}, its odd ones behind. */
  private static void halfToPairs(long from, float[] to, int at) {
    for (int i = 0; i < N; i++) {
      to[at + i] = half(from + 4L * i);
      to[at + N + i] = half(from + 4L * i + 2);
    }
  }

  static float half(long address) {
    return Float.float16ToFloat(Memory.getShort(address));
  }

  static float brain(long address) {
    return Float.intBitsToFloat(Memory.getShort(address) << 16);
  }

  /**
   * For half-width weights even elements, then odd ones, then the last of an odd number; beside
   * float16 all times {@link #HALF_SCALE}.
   */
  static void arrange(DType type, long x, long xStride, int m, int k, float[] to) {
    if (VectorDotPanels.takes(m)) {
      VectorDotPanels.arrange(type, x, xStride, m, k, to);
    } else if (m > 1) {
      VectorDotTiles.arrange(type, x, xStride, m, k, to);
    } else if (type == DType.F32) {
      toFloats(DType.F32, x, to, 0, k);
    } else {
      int half = k / 2;
      float scale = type == DType.F16 ? HALF_SCALE : 1;
      for (int c = 0; c < half; c++) {
        to[c] = scale * Memory.getFloat(x + 8L * c);
        to[half + c] = scale * Memory.getFloat(x + 8L * c + 4);
      }
      if (k % 2 != 0) {
        to[k - 1] = scale * Memory.getFloat(x + 4L * (k - 1));
      }
    }
  }

  static void toFloats(DType type, long from, float[] to, int at, int n) {
    switch (type) {
      case F32 -> MemorySegment.copy(Memory.ALL, Memory.FLOAT, from, to, at, n);
      case F16 -> halfToFloats(from, to, at, n);
      case BF16 -> brainToFloats(from, to, at, n);
      default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
    }
  }

  private static void halfToFloats(long from, float[] to, int at, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      VectorHalf.load(from + 2L * i).intoArray(to, at + i);
    }
    for (int i = bound; i < n; i++) {
      to[at + i] = half(from + 2L * i);
    }
  }

  private static void brainToFloats(long from, float[] to, int at, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      VectorBrain.load(from + 2L * i).intoArray(to, at + i);
    }
    for (int i = bound; i < n; i++) {
      to[at + i] = brain(from + 2L * i);
    }
  }
}
