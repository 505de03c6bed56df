package io.minigpt4.cpu;

import static io.minigpt4.cpu.Memory.getFloat;
import static io.minigpt4.cpu.Memory.getShort;
import static io.minigpt4.cpu.Memory.setFloat;
import static io.minigpt4.cpu.Memory.setShort;

import io.minigpt4.tensor.DType;

/** {@link Kernels} in plain Java: the truth that tests compare the vector kernels to. */
final class ScalarKernels implements Kernels {
  private static final int LANES = 8;

  @Override
  public String name() {
    return "scalar";
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public int maxVectors() {
    return 3;
  }

  private static float load(DType type, long address, long index) {
    return switch (type) {
      case F32 -> getFloat(address + 4 * index);
      case F16 -> Float.float16ToFloat(getShort(address + 2 * index));
      case BF16 -> Float.intBitsToFloat(getShort(address + 2 * index) << 16);
      default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
    };
  }

  /** The nearest bfloat16, ties to even; NaN stays NaN. */
  static short toBFloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }

  @Override
  public void toFloat(DType type, long from, long to, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(to + 4L * i, load(type, from, i));
    }
  }

  @Override
  public void fromFloat(DType type, long from, long to, int n) {
    for (int i = 0; i < n; i++) {
      float value = getFloat(from + 4L * i);
      switch (type) {
        case F32 -> setFloat(to + 4L * i, value);
        case F16 -> setShort(to + 2L * i, Float.floatToFloat16(value));
        case BF16 -> setShort(to + 2L * i, toBFloat16(value));
        default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
      }
    }
  }

  @Override
  public void tile(
      int vectors, long x, long w, long wRow, long wStep, int k, long acc, boolean add) {
    int width = vectors * LANES;
    for (int r = 0; r < TILE_ROWS; r++) {
      long row = acc + 4L * r * width;
      if (!add) {
        Memory.fill(row, width, 0);
      }
      for (int i = 0; i < k; i++) {
        float factor = getFloat(w + 4 * (r * wRow + i * wStep));
        long values = x + 4L * i * width;
        for (int c = 0; c < width; c++) {
          long at = row + 4L * c;
          setFloat(at, Math.fma(factor, getFloat(values + 4L * c), getFloat(at)));
        }
      }
    }
  }

  @Override
  public void dots(
      DType type,
      long x,
      long xStride,
      int m,
      long w,
      long wStride,
      int n,
      int k,
      long out,
      long outStride) {
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int c = 0; c < k; c++) {
          sum += (double) getFloat(x + 4 * (i * xStride + c)) * load(type, w, j * wStride + c);
        }
        setFloat(out + 4 * (i * outStride + j), (float) sum);
      }
    }
  }

  @Override
  public void addWeightedRows(
      DType type, long p, int n, long v, long vStride, int width, long out) {
    for (int i = 0; i < n; i++) {
      float weight = getFloat(p + 4L * i);
      for (int j = 0; j < width; j++) {
        long at = out + 4L * j;
        setFloat(at, Math.fma(weight, load(type, v, i * vStride + j), getFloat(at)));
      }
    }
  }

  @Override
  public void transpose(long from, long fromStride, long to, long toStride, int rows, int columns) {
    for (int c = 0; c < columns; c++) {
      for (int r = 0; r < rows; r++) {
        setFloat(to + 4 * (c * toStride + r), getFloat(from + 4 * (r * fromStride + c)));
      }
    }
  }

  @Override
  public void softmaxColumns(long s, int n, int width, long max, long sum, long factor) {
    for (int c = 0; c < width; c++) {
      float oldMax = getFloat(max + 4L * c);
      float newMax = oldMax;
      for (int i = 0; i < n; i++) {
        newMax = Math.max(newMax, getFloat(s + 4 * ((long) i * width + c)));
      }
      float correction = (float) Math.exp(oldMax - newMax);
      double total = (double) getFloat(sum + 4L * c) * correction;
      for (int i = 0; i < n; i++) {
        long at = s + 4 * ((long) i * width + c);
        float e = (float) Math.exp(getFloat(at) - newMax);
        setFloat(at, e);
        total += e;
      }
      setFloat(max + 4L * c, newMax);
      setFloat(sum + 4L * c, (float) total);
      setFloat(factor + 4L * c, correction);
    }
  }

  @Override
  public void softmax(long s, int n) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, getFloat(s + 4L * i));
    }
    double total = 0;
    for (int i = 0; i < n; i++) {
      float e = (float) Math.exp(getFloat(s + 4L * i) - max);
      setFloat(s + 4L * i, e);
      total += e;
    }
    scale(s, n, (float) (1 / total));
  }

  @Override
  public void scaleColumns(long x, int rows, int width, long factor) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < width; c++) {
        long at = x + 4 * ((long) r * width + c);
        setFloat(at, getFloat(at) * getFloat(factor + 4L * c));
      }
    }
  }

  @Override
  public void scale(long x, int n, float factor) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, getFloat(x + 4L * i) * factor);
    }
  }

  @Override
  public void add(long x, long y, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, getFloat(x + 4L * i) + getFloat(y + 4L * i));
    }
  }

  @Override
  public void addConstant(long x, int n, float value) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, getFloat(x + 4L * i) + value);
    }
  }

  @Override
  public void addConstantGelu(long x, int n, float value) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, gelu(getFloat(x + 4L * i) + value));
    }
  }

  @Override
  public void addGelu(long x, long y, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, gelu(getFloat(x + 4L * i) + getFloat(y + 4L * i)));
    }
  }

  private static float gelu(float x) {
    return (float) (0.5 * x * (1 + erf(x * Math.sqrt(0.5))));
  }

  /**
   * The error function within 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions,
   * 7.1.26).
   */
  static double erf(double x) {
    double a = Math.abs(x);
    double t = 1 / (1 + 0.3275911 * a);
    double poly =
        t
            * (0.254829592
                + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return Math.copySign(1 - poly * Math.exp(-a * a), x);
  }

  @Override
  public void siluMul(long gate, long up, long out, int n) {
    for (int i = 0; i < n; i++) {
      float g = getFloat(gate + 4L * i);
      setFloat(out + 4L * i, (float) (g / (1 + Math.exp(-g)) * getFloat(up + 4L * i)));
    }
  }

  @Override
  public void layerNorm(long x, long weight, long bias, float eps, long out, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
      sum += getFloat(x + 4L * i);
    }
    double mean = sum / n;
    double squares = 0;
    for (int i = 0; i < n; i++) {
      double d = getFloat(x + 4L * i) - mean;
      squares += d * d;
    }
    double inverse = 1 / Math.sqrt(squares / n + eps);
    for (int i = 0; i < n; i++) {
      double normal = (getFloat(x + 4L * i) - mean) * inverse;
      setFloat(
          out + 4L * i, (float) (normal * getFloat(weight + 4L * i) + getFloat(bias + 4L * i)));
    }
  }

  @Override
  public void rmsNorm(long x, long weight, float eps, long out, int n) {
    double squares = 0;
    for (int i = 0; i < n; i++) {
      double value = getFloat(x + 4L * i);
      squares += value * value;
    }
    double inverse = 1 / Math.sqrt(squares / n + eps);
    for (int i = 0; i < n; i++) {
      setFloat(out + 4L * i, (float) (getFloat(x + 4L * i) * inverse * getFloat(weight + 4L * i)));
    }
  }

  @Override
  public void rotate(long x, long cos, long sin, int half) {
    for (int i = 0; i < half; i++) {
      float a = getFloat(x + 4L * i);
      float b = getFloat(x + 4L * (half + i));
      float c = getFloat(cos + 4L * i);
      float s = getFloat(sin + 4L * i);
      setFloat(x + 4L * i, a * c - b * s);
      setFloat(x + 4L * (half + i), b * c + a * s);
    }
  }
}
