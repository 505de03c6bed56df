package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.FMA;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LSHR;
import static jdk.incubator.vector.VectorOperators.LT;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link DotKernels} with the Vector API, and conversions.
 *
 * <p>A core has only so many instructions under way at once, and each that is not a load takes the
 * place of one that would fetch a line of weights. So bandwidth is lost by the number of
 * instructions for a line, even though the arithmetic would have time enough: a vector of x is
 * loaded once for four rows of weights, and half-width weights are loaded as ints that hold an even
 * and an odd element.
 */
final class VectorDots implements DotKernels {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /**
   * What x is multiplied by beside float16 weights, which {@link VectorHalf#scaled} leaves
   * 2<sup>112</sup> times too large: enough for sums up to 2<sup>63</sup>, little enough for
   * elements of x above 2<sup>-78</sup>.
   */
  private static final float HALF_SCALE = 0x1p-48f;

  @Override
  public void dots(
      DType type,
      Rows rows,
      int m,
      long w,
      int n,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    float[] x = rows.array();
    long rowBytes = (long) k * type.bytes();
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
   * Float16, as {@link #dotBrain}, by {@link VectorHalf#scaled}'s steps. They are written out, as
   * C2 does not inline a method of our own among so many of the Vector API's; and there is no
   * branch, as one line of weights in fourteen has a half that is subnormal.
   */
  private static void dotHalf(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    int half = k / 2;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    IntVector magnitude = IntVector.broadcast(INTS, 0x0fffe000);
    IntVector exponent = IntVector.broadcast(INTS, 0x70000000);
    IntVector sign = IntVector.broadcast(INTS, 0x80000000);
    FloatVector normal = FloatVector.broadcast(SPECIES, VectorHalf.SMALLEST_NORMAL);
    FloatVector hidden = FloatVector.broadcast(SPECIES, -VectorHalf.SMALLEST_NORMAL);
    FloatVector two = FloatVector.broadcast(SPECIES, 2f);
    int bound = SPECIES.loopBound(half);
    for (int i = 0; i < bound; i += N) {
      FloatVector even = FloatVector.fromArray(SPECIES, x, i);
      FloatVector odd = FloatVector.fromArray(SPECIES, x, half + i);
      IntVector p = IntVector.fromMemorySegment(INTS, Memory.ALL, w + 4L * i, ORDER);
      FloatVector p0 = p.lanewise(LSHL, 13).and(magnitude).or(exponent).reinterpretAsFloats();
      p0 = p0.lanewise(FMA, two, hidden, p0.compare(LT, normal));
      IntVector ps = p.lanewise(LSHL, 16).and(sign).or(p0.reinterpretAsInts());
      a = ps.reinterpretAsFloats().fma(even, a);
      FloatVector p1 = p.lanewise(LSHR, 3).and(magnitude).or(exponent).reinterpretAsFloats();
      p1 = p1.lanewise(FMA, two, hidden, p1.compare(LT, normal));
      a = p.and(sign).or(p1.reinterpretAsInts()).reinterpretAsFloats().fma(odd, a);
      IntVector q = IntVector.fromMemorySegment(INTS, Memory.ALL, w1 + 4L * i, ORDER);
      FloatVector q0 = q.lanewise(LSHL, 13).and(magnitude).or(exponent).reinterpretAsFloats();
      q0 = q0.lanewise(FMA, two, hidden, q0.compare(LT, normal));
      IntVector qs = q.lanewise(LSHL, 16).and(sign).or(q0.reinterpretAsInts());
      b = qs.reinterpretAsFloats().fma(even, b);
      FloatVector q1 = q.lanewise(LSHR, 3).and(magnitude).or(exponent).reinterpretAsFloats();
      q1 = q1.lanewise(FMA, two, hidden, q1.compare(LT, normal));
      b = q.and(sign).or(q1.reinterpretAsInts()).reinterpretAsFloats().fma(odd, b);
      IntVector s = IntVector.fromMemorySegment(INTS, Memory.ALL, w2 + 4L * i, ORDER);
      FloatVector s0 = s.lanewise(LSHL, 13).and(magnitude).or(exponent).reinterpretAsFloats();
      s0 = s0.lanewise(FMA, two, hidden, s0.compare(LT, normal));
      IntVector ss = s.lanewise(LSHL, 16).and(sign).or(s0.reinterpretAsInts());
      c = ss.reinterpretAsFloats().fma(even, c);
      FloatVector s1 = s.lanewise(LSHR, 3).and(magnitude).or(exponent).reinterpretAsFloats();
      s1 = s1.lanewise(FMA, two, hidden, s1.compare(LT, normal));
      c = s.and(sign).or(s1.reinterpretAsInts()).reinterpretAsFloats().fma(odd, c);
      IntVector t = IntVector.fromMemorySegment(INTS, Memory.ALL, w3 + 4L * i, ORDER);
      FloatVector t0 = t.lanewise(LSHL, 13).and(magnitude).or(exponent).reinterpretAsFloats();
      t0 = t0.lanewise(FMA, two, hidden, t0.compare(LT, normal));
      IntVector ts = t.lanewise(LSHL, 16).and(sign).or(t0.reinterpretAsInts());
      d = ts.reinterpretAsFloats().fma(even, d);
      FloatVector t1 = t.lanewise(LSHR, 3).and(magnitude).or(exponent).reinterpretAsFloats();
      t1 = t1.lanewise(FMA, two, hidden, t1.compare(LT, normal));
      d = t.and(sign).or(t1.reinterpretAsInts()).reinterpretAsFloats().fma(odd, d);
    }
    a.intoArray(results, 4);
    b.intoArray(results, 4 + N);
    c.intoArray(results, 4 + 2 * N);
    d.intoArray(results, 4 + 3 * N);
    for (int r = 0; r < 4; r++) {
      results[r] = VectorSums.sum(results, 4 + r * N) * (1 / (HALF_SCALE * VectorHalf.SCALE));
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
  @Override
  public void arrange(DType type, long x, long xStride, int m, int k, Rows rows) {
    float[] to = rows.newArray(Math.max((long) m * k, VectorDotPanels.arranged(m, k)));
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

  @Override
  public int scratch() {
    return Math.max(VectorDotTiles.scratch(), VectorDotPanels.scratch());
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
