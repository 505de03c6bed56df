package io.minigpt4.cpu;

import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** {@link GradKernels} with the Vector API. */
final class VectorGradKernels implements GradKernels {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  private final ScalarGradKernels scalar = new ScalarGradKernels();

  @Override
  public void rmsNorm(long x, long weight, float eps, long dOut, long dx, boolean add, int n) {
    int bound = SPECIES.loopBound(n);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector products = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector value = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER);
      squares = value.fma(value, squares);
      products =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, weight + 4L * i, ORDER)
              .mul(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, dOut + 4L * i, ORDER))
              .fma(value, products);
    }
    float[] lanes = VectorSums.lanes();
    squares.intoArray(lanes, 0);
    products.intoArray(lanes, N);
    double square = VectorSums.sum(lanes, 0);
    double product = VectorSums.sum(lanes, N);
    for (int i = bound; i < n; i++) {
      double value = Memory.getFloat(x + 4L * i);
      square += value * value;
      product += value * Memory.getFloat(weight + 4L * i) * Memory.getFloat(dOut + 4L * i);
    }
    double exact = 1 / Math.sqrt(square / n + eps);
    float inverse = (float) exact;
    float towardsX = (float) (exact * exact * exact * product / n);
    FloatVector minusX = FloatVector.broadcast(SPECIES, -towardsX);
    for (int i = 0; i < bound; i += N) {
      FloatVector scaled =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, weight + 4L * i, ORDER)
              .mul(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, dOut + 4L * i, ORDER))
              .mul(inverse);
      FloatVector value =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * i, ORDER).fma(minusX, scaled);
      if (add) {
        value = value.add(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, dx + 4L * i, ORDER));
      }
      value.intoMemorySegment(Memory.ALL, dx + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      float scaled = Memory.getFloat(weight + 4L * i) * Memory.getFloat(dOut + 4L * i) * inverse;
      float value = scaled - towardsX * Memory.getFloat(x + 4L * i);
      Memory.setFloat(dx + 4L * i, add ? value + Memory.getFloat(dx + 4L * i) : value);
    }
  }

  @Override
  public void siluMul(long gate, long up, long dOut, long dGate, long dUp, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      FloatVector g = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, gate + 4L * i, ORDER);
      FloatVector s = VectorMath.sigmoid(g);
      FloatVector d = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, dOut + 4L * i, ORDER);
      FloatVector silu = g.mul(s);
      // s · (1 + g · (1 − s)) = s + silu · (1 − s)
      FloatVector slope = silu.fma(s.neg().add(1), s);
      FloatVector toGate =
          d.mul(FloatVector.fromMemorySegment(SPECIES, Memory.ALL, up + 4L * i, ORDER)).mul(slope);
      d.mul(silu).intoMemorySegment(Memory.ALL, dUp + 4L * i, ORDER);
      toGate.intoMemorySegment(Memory.ALL, dGate + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      ScalarGradKernels.siluMul(gate, up, dOut, dGate, dUp, 4L * i);
    }
  }

  @Override
  public void softmaxColumns(float[] p, int pAt, float[] d, int dAt, int n, int width) {
    for (int c = 0; c < width; c += N) {
      softmaxColumn(p, pAt + c, d, dAt + c, n, width);
    }
  }

  /** One vector's columns. */
  private static void softmaxColumn(float[] p, int pAt, float[] d, int dAt, int n, int width) {
    FloatVector sum = FloatVector.zero(SPECIES);
    for (int i = 0; i < n; i++) {
      FloatVector probability = FloatVector.fromArray(SPECIES, p, pAt + i * width);
      sum = probability.fma(FloatVector.fromArray(SPECIES, d, dAt + i * width), sum);
    }
    for (int i = 0; i < n; i++) {
      int at = dAt + i * width;
      FloatVector probability = FloatVector.fromArray(SPECIES, p, pAt + i * width);
      FloatVector.fromArray(SPECIES, d, at).sub(sum).mul(probability).intoArray(d, at);
    }
  }

  @Override
  public void adamW(long weight, long gradient, long m, long v, AdamWFactors f, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      FloatVector g = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, gradient + 4L * i, ORDER);
      FloatVector mean = FloatVector.fromMemorySegment(SPECIES, Memory.ALL, m + 4L * i, ORDER);
      mean = mean.add(g.sub(mean).mul(f.oneMinusBeta1()));
      FloatVector square = g.mul(f.oneMinusBeta2()).mul(g);
      square =
          square.add(
              FloatVector.fromMemorySegment(SPECIES, Memory.ALL, v + 4L * i, ORDER).mul(f.beta2()));
      FloatVector root =
          square.lanewise(VectorOperators.SQRT).div(f.rootCorrection()).add(f.epsilon());
      mean.intoMemorySegment(Memory.ALL, m + 4L * i, ORDER);
      square.intoMemorySegment(Memory.ALL, v + 4L * i, ORDER);
      FloatVector decayed =
          FloatVector.fromMemorySegment(SPECIES, Memory.ALL, weight + 4L * i, ORDER).mul(f.decay());
      decayed
          .sub(mean.mul(f.stepSize()).div(root))
          .intoMemorySegment(Memory.ALL, weight + 4L * i, ORDER);
    }
    for (int i = bound; i < n; i++) {
      ScalarGradKernels.adamW(weight, gradient, m, v, f, 4L * i);
    }
  }

  @Override
  public boolean scaleFinite(long x, float factor, int n) {
    return scalar.scaleFinite(x, factor, n);
  }
}
