package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.GT;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LT;
import static jdk.incubator.vector.VectorOperators.MAX;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Exponentials and what is made of them, softmax, GELU, SiLU; and the norms.
 *
 * <p>C2 stops putting methods into each other once it has made some 18,000 nodes in one
 * compilation, and a call of the Vector API makes 300 to 700. Where it stops before a method of
 * ours that takes or gives a vector, that vector goes through the heap in every round of the loop,
 * for as long as the virtual machine lives. So loops call the API itself, which is exempt, and few
 * methods of ours besides; and what those do is written with few calls rather than few
 * instructions: a broadcast vector as an operand, for instance, costs half the nodes of a float.
 */
final class VectorMath {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** log₂ e times this, rounded, is −127. */
  private static final float LOWEST = -88.02969f;

  /** log₂ e times this, rounded, is 128. */
  private static final float HIGHEST = 88.72284f;

  /** 1.5 · 2²³ + 127. */
  private static final float MAGIC = 12583039f;

  private VectorMath() {}

  /**
   * e^x within 1e-7 relative, 0 where it is smaller than any normal float, infinite where it is
   * larger: x = n ln 2 + r with |r| ≤ ln 2 / 2, a polynomial in r (the coefficients are those of
   * the Cephes library's expf) and n put into the exponent. Adding 1.5 · 2²³ rounds to an integer
   * and leaves it in the low bits; 127 more, and these are the bits of 2ⁿ's exponent already. The
   * limits let n reach the exponents of zero and of infinity, no further; they are not set by min
   * and max, which take seven instructions each for what Java demands of zeros and NaNs.
   */
  private static FloatVector exp(FloatVector x) {
    FloatVector magic = FloatVector.broadcast(SPECIES, MAGIC);
    FloatVector highest = FloatVector.broadcast(SPECIES, HIGHEST);
    FloatVector lowest = FloatVector.broadcast(SPECIES, LOWEST);
    x = x.blend(highest, x.compare(GT, highest));
    x = x.blend(lowest, x.compare(LT, lowest));
    FloatVector shifted = x.fma(FloatVector.broadcast(SPECIES, 1.442695f), magic);
    FloatVector n = shifted.sub(magic);
    FloatVector r = n.fma(FloatVector.broadcast(SPECIES, -0.6933594f), x);
    r = n.fma(FloatVector.broadcast(SPECIES, 0.00021219444f), r);
    FloatVector p = FloatVector.broadcast(SPECIES, 0.00019875691f);
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.0013981999f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.008333452f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.041665796f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.16666666f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.5f));
    FloatVector one = FloatVector.broadcast(SPECIES, 1);
    FloatVector power = p.fma(r, one).fma(r, one);
    return power.mul(shifted.reinterpretAsInts().lanewise(LSHL, 23).reinterpretAsFloats());
  }

  /** x/2 · (1 + erf(x/√2)), erf within 2e-7 (Abramowitz and Stegun, 7.1.26). */
  private static FloatVector gelu(FloatVector x) {
    FloatVector a = x.abs().mul(0.70710677f);
    FloatVector one = FloatVector.broadcast(SPECIES, 1);
    FloatVector t = one.div(a.fma(FloatVector.broadcast(SPECIES, 0.3275911f), one));
    FloatVector p = FloatVector.broadcast(SPECIES, 1.0614054f);
    p = p.fma(t, FloatVector.broadcast(SPECIES, -1.4531521f));
    p = p.fma(t, FloatVector.broadcast(SPECIES, 1.4214138f));
    p = p.fma(t, FloatVector.broadcast(SPECIES, -0.28449672f));
    p = p.fma(t, FloatVector.broadcast(SPECIES, 0.2548296f));
    FloatVector tail = p.mul(t).mul(exp(a.mul(a).neg()));
    // x/2 · (1 + erf) is x − x/2 · tail on the right and x/2 · tail on the left of zero.
    FloatVector left = x.mul(0.5f).mul(tail);
    return left.blend(x.sub(left), x.compare(GT, 0));
  }

  /** x / (1 + e^−x). */
  private static FloatVector silu(FloatVector x) {
    return x.div(exp(x.neg()).add(FloatVector.broadcast(SPECIES, 1)));
  }

  /** 1 / (1 + e^−x). */
  static FloatVector sigmoid(FloatVector x) {
    FloatVector one = FloatVector.broadcast(SPECIES, 1);
    return one.div(exp(x.neg()).add(one));
  }

  static void softmaxColumns(float[] x, int at, int n, int width, float[] state, int stateAt) {
    for (int c = 0; c < width; c += N) {
      softmaxColumn(x, at + c, n, width, state, stateAt + c);
    }
  }

  /** {@link Kernels#softmaxColumns} for one vector's columns. */
  private static void softmaxColumn(
      float[] x, int at, int n, int width, float[] state, int stateAt) {
    FloatVector oldMax = FloatVector.fromArray(SPECIES, state, stateAt);
    FloatVector max = oldMax;
    for (int i = 0; i < n; i++) {
      FloatVector s = FloatVector.fromArray(SPECIES, x, at + i * width);
      max = max.blend(s, s.compare(GT, max));
    }
    FloatVector sum = FloatVector.zero(SPECIES);
    for (int i = 0; i < n; i++) {
      FloatVector e = exp(FloatVector.fromArray(SPECIES, x, at + i * width).sub(max));
      e.intoArray(x, at + i * width);
      sum = sum.add(e);
    }
    FloatVector correction = exp(oldMax.sub(max));
    FloatVector oldSum = FloatVector.fromArray(SPECIES, state, stateAt + width);
    max.intoArray(state, stateAt);
    oldSum.fma(correction, sum).intoArray(state, stateAt + width);
    correction.intoArray(state, stateAt + 2 * width);
  }

  static double softmax(float[] x, int at, int n) {
    int bound = SPECIES.loopBound(n);
    FloatVector maxima = FloatVector.broadcast(SPECIES, Float.NEGATIVE_INFINITY);
    for (int i = 0; i < bound; i += N) {
      FloatVector s = FloatVector.fromArray(SPECIES, x, at + i);
      maxima = maxima.blend(s, s.compare(GT, maxima));
    }
    float max = maxima.reduceLanes(MAX);
    for (int i = bound; i < n; i++) {
      max = Math.max(max, x[at + i]);
    }
    FloatVector sums = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector e = exp(FloatVector.fromArray(SPECIES, x, at + i).sub(max));
      e.intoArray(x, at + i);
      sums = sums.add(e);
    }
    float[] lanes = VectorSums.lanes();
    sums.intoArray(lanes, 0);
    float sum = VectorSums.sum(lanes, 0);
    for (int i = bound; i < n; i++) {
      x[at + i] = (float) Math.exp(x[at + i] - max);
      sum += x[at + i];
    }
    scale(x, at, n, 1 / sum);
    return max + Math.log(sum);
  }

  static void scale(float[] x, int at, int n, float factor) {
    for (int i = 0; i < n; i++) {
      x[at + i] *= factor;
    }
  }

  static void addGelu(long x, long y, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      gelu(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER)
              .add(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, y + 4L * i, ORDER)))
          .intoMemorySegment(Memory.ALL, x + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      float sum = Memory.getFloat(x + 4L * i) + Memory.getFloat(y + 4L * i);
      Memory.setFloat(x + 4L * i, ScalarKernels.gelu(sum));
    }
  }

  static void add(long x, long y, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER)
          .add(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, y + 4L * i, ORDER))
          .intoMemorySegment(Memory.ALL, x + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      Memory.setFloat(x + 4L * i, Memory.getFloat(x + 4L * i) + Memory.getFloat(y + 4L * i));
    }
  }

  static void siluMul(long gate, long up, long out, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      silu(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, gate + 4L * i, ORDER))
          .mul(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, up + 4L * i, ORDER))
          .intoMemorySegment(Memory.ALL, out + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      float value = ScalarKernels.silu(Memory.getFloat(gate + 4L * i));
      Memory.setFloat(out + 4L * i, value * Memory.getFloat(up + 4L * i));
    }
  }

  /**
   * Two passes. The second sums deviations as well as their squares, which corrects the rounding of
   * the first pass's mean (the corrected two-pass algorithm of Chan, Golub and LeVeque 1983).
   */
  static void layerNorm(long x, long weight, long bias, float eps, long out, int n) {
    int bound = SPECIES.loopBound(n);
    FloatVector sums = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      sums = sums.add(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER));
    }
    float[] lanes = VectorSums.lanes();
    sums.intoArray(lanes, 0);
    float sum = VectorSums.sum(lanes, 0);
    for (int i = bound; i < n; i++) {
      sum += Memory.getFloat(x + 4L * i);
    }
    float guess = sum / n;
    FloatVector deviations = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector d =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER).sub(guess);
      deviations = deviations.add(d);
      squares = d.fma(d, squares);
    }
    deviations.intoArray(lanes, 0);
    squares.intoArray(lanes, N);
    double deviation = VectorSums.sum(lanes, 0);
    double square = VectorSums.sum(lanes, N);
    for (int i = bound; i < n; i++) {
      float d = Memory.getFloat(x + 4L * i) - guess;
      deviation += d;
      square += (double) d * d;
    }
    double variance = Math.max(0, (square - deviation * deviation / n) / n);
    float inverse = (float) (1 / Math.sqrt(variance + eps));
    float shift = (float) (deviation / n);
    for (int i = 0; i < bound; i += N) {
      FloatVector normal =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER)
              .sub(guess)
              .sub(shift)
              .mul(inverse);
      normal
          .fma(
              FloatVector.fromMemorySegment(SPECIES, Memory.ALL, weight + 4L * i, ORDER),
              FloatVector.fromMemorySegment(SPECIES, Memory.ALL, bias + 4L * i, ORDER))
          .intoMemorySegment(Memory.ALL, out + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      float normal = (Memory.getFloat(x + 4L * i) - guess - shift) * inverse;
      float scaled = normal * Memory.getFloat(weight + 4L * i);
      Memory.setFloat(out + 4L * i, scaled + Memory.getFloat(bias + 4L * i));
    }
  }

  static void rmsNorm(long x, long weight, float eps, long out, int n) {
    int bound = SPECIES.loopBound(n);
    FloatVector squares = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector value = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER);
      squares = value.fma(value, squares);
    }
    float[] lanes = VectorSums.lanes();
    squares.intoArray(lanes, 0);
    double square = VectorSums.sum(lanes, 0);
    for (int i = bound; i < n; i++) {
      float value = Memory.getFloat(x + 4L * i);
      square += (double) value * value;
    }
    float inverse = (float) (1 / Math.sqrt(square / n + eps));
    for (int i = 0; i < bound; i += N) {
      FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER)
          .mul(inverse)
          .mul(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, weight + 4L * i, ORDER))
          .intoMemorySegment(Memory.ALL, out + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      float normal = Memory.getFloat(x + 4L * i) * inverse;
      Memory.setFloat(out + 4L * i, normal * Memory.getFloat(weight + 4L * i));
    }
  }
}
