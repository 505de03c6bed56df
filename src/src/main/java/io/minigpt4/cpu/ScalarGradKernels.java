package io.minigpt4.cpu;

import static io.minigpt4.cpu.Memory.getFloat;
import static io.minigpt4.cpu.Memory.setFloat;

/** {@link GradKernels} in plain Java: the truth that tests compare the vector kernels to. */
final class ScalarGradKernels implements GradKernels {
  @Override
  public void rmsNorm(long x, long weight, float eps, long dOut, long dx, boolean add, int n) {
    double squares = 0;
    double products = 0;
    for (int i = 0; i < n; i++) {
      double value = getFloat(x + 4L * i);
      squares += value * value;
      products += value * getFloat(weight + 4L * i) * getFloat(dOut + 4L * i);
    }
    double inverse = 1 / Math.sqrt(squares / n + eps);
    double towardsX = inverse * inverse * inverse * products / n;
    for (int i = 0; i < n; i++) {
      double scaled = inverse * getFloat(weight + 4L * i) * getFloat(dOut + 4L * i);
      double value = scaled - towardsX * getFloat(x + 4L * i);
      setFloat(dx + 4L * i, (float) (add ? getFloat(dx + 4L * i) + value : value));
    }
  }

  @Override
  public void siluMul(long gate, long up, long dOut, long dGate, long dUp, int n) {
    for (int i = 0; i < n; i++) {
      siluMul(gate, up, dOut, dGate, dUp, 4L * i);
    }
  }

  /** One element, {@code at} bytes from the start. */
  static void siluMul(long gate, long up, long dOut, long dGate, long dUp, long at) {
    double g = getFloat(gate + at);
    double s = 1 / (1 + Math.exp(-g));
    double d = getFloat(dOut + at);
    setFloat(dGate + at, (float) (d * getFloat(up + at) * s * (1 + g * (1 - s))));
    setFloat(dUp + at, (float) (d * g * s));
  }

  @Override
  public void softmaxColumns(float[] p, int pAt, float[] d, int dAt, int n, int width) {
    for (int c = 0; c < width; c++) {
      double sum = 0;
      for (int i = 0; i < n; i++) {
        sum += (double) p[pAt + i * width + c] * d[dAt + i * width + c];
      }
      for (int i = 0; i < n; i++) {
        int at = dAt + i * width + c;
        d[at] = (float) (p[pAt + i * width + c] * (d[at] - sum));
      }
    }
  }

  @Override
  public void adamW(long weight, long gradient, long m, long v, AdamWFactors factors, int n) {
    for (int i = 0; i < n; i++) {
      adamW(weight, gradient, m, v, factors, 4L * i);
    }
  }

  /** One element, {@code at} bytes from the start. */
  static void adamW(long weight, long gradient, long m, long v, AdamWFactors f, long at) {
    float g = getFloat(gradient + at);
    float mean = getFloat(m + at);
    mean += f.oneMinusBeta1() * (g - mean);
    float square = getFloat(v + at) * f.beta2() + f.oneMinusBeta2() * g * g;
    float root = (float) Math.sqrt(square) / f.rootCorrection() + f.epsilon();
    setFloat(m + at, mean);
    setFloat(v + at, square);
    setFloat(weight + at, getFloat(weight + at) * f.decay() - f.stepSize() * mean / root);
  }

  @Override
  public boolean scaleFinite(long x, float factor, int n) {
    boolean finite = true;
    for (int i = 0; i < n; i++) {
      float value = getFloat(x + 4L * i) * factor;
      finite &= Float.isFinite(value);
      setFloat(x + 4L * i, value);
    }
    return finite;
  }
}
