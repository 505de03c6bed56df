package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ADD;

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

  private static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(SPECIES, Memory.ALL, address, ORDER);
  }

  private static void store(FloatVector values, long address) {
    values.intoMemorySegment(Memory.ALL, address, ORDER);
  }

  @Override
  public void rmsNorm(long x, long weight, float eps, long dOut, long dx, boolean add, int n) {
    int bound = SPECIES.loopBound(n);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector products = FloatVector.zero(SPECIES);
    for (int i = 0; i < bound; i += N) {
      FloatVector value = load(x + 4L * i);
      squares = value.fma(value, squares);
      products = load(weight + 4L * i).mul(load(dOut + 4L * i)).fma(value, products);
    }
    double square = squares.reduceLanes(ADD);
    double product = products.reduceLanes(ADD);
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
      FloatVector scaled = load(weight + 4L * i).mul(load(dOut + 4L * i)).mul(inverse);
      FloatVector value = load(x + 4L * i).fma(minusX, scaled);
      store(add ? value.add(load(dx + 4L * i)) : value, dx + 4L * i);
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
      FloatVector g = load(gate + 4L * i);
      FloatVector s = VectorMath.sigmoid(g);
      FloatVector d = load(dOut + 4L * i);
      FloatVector silu = g.mul(s);
      // s · (1 + g · (1 − s)) = s + silu · (1 − s)
      FloatVector slope = silu.fma(s.neg().add(1), s);
      FloatVector toGate = d.mul(load(up + 4L * i)).mul(slope);
      store(d.mul(silu), dUp + 4L * i);
      store(toGate, dGate + 4L * i);
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
      FloatVector g = load(gradient + 4L * i);
      FloatVector mean = load(m + 4L * i);
      mean = mean.add(g.sub(mean).mul(f.oneMinusBeta1()));
      FloatVector square = g.mul(f.oneMinusBeta2()).mul(g);
      square = square.add(load(v + 4L * i).mul(f.beta2()));
      FloatVector root =
          square.lanewise(VectorOperators.SQRT).div(f.rootCorrection()).add(f.epsilon());
      store(mean, m + 4L * i);
      store(square, v + 4L * i);
      FloatVector decayed = load(weight + 4L * i).mul(f.decay());
      store(decayed.sub(mean.mul(f.stepSize()).div(root)), weight + 4L * i);
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
