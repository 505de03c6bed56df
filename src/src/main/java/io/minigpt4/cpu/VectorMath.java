package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ADD;
import static jdk.incubator.vector.VectorOperators.GT;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.LT;
import static jdk.incubator.vector.VectorOperators.MAX;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;

/** Exponentials and what is made of them, softmax, GELU, SiLU; and the norms. */
final class VectorMath {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** Below this, e^x is smaller than any normal float; it is taken as 0. */
  private static final float LOWEST = -87.33654f;

  /** Above this, e^x is taken as e^88. */
  private static final float HIGHEST = 88;

  private VectorMath() {}

  private static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(SPECIES, Memory.ALL, address, ORDER);
  }

  private static void store(FloatVector values, long address) {
    values.intoMemorySegment(Memory.ALL, address, ORDER);
  }

  /**
   * e^x for x ≤ 88 within 1e-7 relative: x = n ln 2 + r with |r| ≤ ln 2 / 2, a polynomial in r (the
   * coefficients are those of the Cephes library's expf) and n put into the exponent. Adding 1.5 ·
   * 2²³ rounds to an integer and leaves it in the low bits.
   */
  private static FloatVector exp(FloatVector x) {
    FloatVector shifted = x.mul(1.442695f).add(12582912f);
    FloatVector n = shifted.sub(12582912f);
    FloatVector minusN = n.neg();
    FloatVector r =
        minusN.fma(FloatVector.broadcast(SPECIES, 0.6933594f), x).sub(n.mul(-0.00021219444f));
    FloatVector p = FloatVector.broadcast(SPECIES, 0.00019875691f);
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.0013981999f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.008333452f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.041665796f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.16666666f));
    p = p.fma(r, FloatVector.broadcast(SPECIES, 0.5f));
    FloatVector power = p.fma(r.mul(r), r).add(1);
    IntVector exponent = shifted.reinterpretAsInts().lanewise(LSHL, 23).add(0x3f800000);
    FloatVector result = power.mul(exponent.reinterpretAsFloats());
    return result.blend(0, x.compare(LT, LOWEST));
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

  /** x / (1 + e^−x); where e^−x is too large for a float, the result is 0. */
  private static FloatVector silu(FloatVector x) {
    FloatVector minus = x.neg();
    VectorMask<Float> vanishes = minus.compare(GT, HIGHEST);
    return x.div(exp(minus.blend(HIGHEST, vanishes)).add(1)).blend(0, vanishes);
  }

  /** 1 / (1 + e^−x); where e^−x is too large for a float, the result is 0. */
  static FloatVector sigmoid(FloatVector x) {
    FloatVector minus = x.neg();
    VectorMask<Float> vanishes = minus.compare(GT, HIGHEST);
    FloatVector one = FloatVector.broadcast(SPECIES, 1);
    return one.div(exp(minus.blend(HIGHEST, vanishes)).add(1)).blend(0, vanishes);
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

  static void softmax(float[] x, int at, int n) {
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
    float sum = sums.reduceLanes(ADD);
    for (int i = bound; i < n; i++) {
      x[at + i] = (float) Math.exp(x[at + i] - max);
      sum += x[at + i];
    }
    scale(x, at, n, 1 / sum);
  }

  static void scale(float[] x, int at, int n, float factor) {
    for (int i = 0; i < n; i++) {
      x[at + i] *= factor;
    }
  }

  static void addConstantGelu(float[] x, int at, int n, float value) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      gelu(FloatVector.fromArray(SPECIES, x, at + i).add(value)).intoArray(x, at + i);
    }
    for (int i = bound; i < n; i++) {
      x[at + i] = ScalarKernels.gelu(x[at + i] + value);
    }
  }

  static void addGelu(long x, long y, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      store(gelu(load(x + 4L * i).add(load(y + 4L * i))), x + 4L * i);
    }
    for (int i = bound; i < n; i++) {
      float sum = Memory.getFloat(x + 4L * i) + Memory.getFloat(y + 4L * i);
      Memory.setFloat(x + 4L * i, ScalarKernels.gelu(sum));
    }
  }

  static void add(long x, long y, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      store(load(x + 4L * i).add(load(y + 4L * i)), x + 4L * i);
    }
    for (int i = bound; i < n; i++) {
      Memory.setFloat(x + 4L * i, Memory.getFloat(x + 4L * i) + Memory.getFloat(y + 4L * i));
    }
  }

  static void siluMul(long gate, long up, long out, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      store(silu(load(gate + 4L * i)).mul(load(up + 4L * i)), out + 4L * i);
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
      sums = sums.add(load(x + 4L * i));
    }
    float sum = sums.reduceLanes(ADD);
    for (int i = bound; i < n; i++) {
      sum += Memory.getFloat(x + 4L * i);
    }
    float guess = sum / n;
    FloatVector deviations = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector d = load(x + 4L * i).sub(guess);
      deviations = deviations.add(d);
      squares = d.fma(d, squares);
    }
    double deviation = deviations.reduceLanes(ADD);
    double square = squares.reduceLanes(ADD);
    for (int i = bound; i < n; i++) {
      float d = Memory.getFloat(x + 4L * i) - guess;
      deviation += d;
      square += (double) d * d;
    }
    double variance = Math.max(0, (square - deviation * deviation / n) / n);
    float inverse = (float) (1 / Math.sqrt(variance + eps));
    float shift = (float) (deviation / n);
    for (int i = 0; i < bound; i += N) {
      FloatVector normal = load(x + 4L * i).sub(guess).sub(shift).mul(inverse);
      store(normal.fma(load(weight + 4L * i), load(bias + 4L * i)), out + 4L * i);
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
      FloatVector value = load(x + 4L * i);
      squares = value.fma(value, squares);
    }
    double square = squares.reduceLanes(ADD);
    for (int i = bound; i < n; i++) {
      float value = Memory.getFloat(x + 4L * i);
      square += (double) value * value;
    }
    float inverse = (float) (1 / Math.sqrt(square / n + eps));
    for (int i = 0; i < bound; i += N) {
      store(load(x + 4L * i).mul(inverse).mul(load(weight + 4L * i)), out + 4L * i);
    }
    for (int i = bound; i < n; i++) {
      float normal = Memory.getFloat(x + 4L * i) * inverse;
      Memory.setFloat(out + 4L * i, normal * Memory.getFloat(weight + 4L * i));
    }
  }
}
