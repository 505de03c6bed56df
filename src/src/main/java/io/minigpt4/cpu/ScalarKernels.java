package io.minigpt4.cpu;

import static io.minigpt4.cpu.Memory.getFloat;
import static io.minigpt4.cpu.Memory.getShort;
import static io.minigpt4.cpu.Memory.setFloat;
import static io.minigpt4.cpu.Memory.setShort;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** {@link Kernels} in plain Java: the truth that tests compare the vector kernels to. */
final class ScalarKernels implements Kernels {
  private static final int LANES = 8;

  private final @Nullable CpuLibrary library;
  private final DotKernels products;
  private final QuantisedKernels quantised;
  private final String name;

  /** Plain Java throughout. */
  ScalarKernels() {
    library = null;
    products = new ScalarDots();
    quantised = new ScalarQuantised();
    name = "scalar";
  }

  /** Products by native code, as far as the processor can run it. */
  ScalarKernels(CpuLibrary library) {
    this.library = library;
    products = new NativeDots(library);
    quantised =
        library.hasQuantised()
            ? new NativeQuantised(library, new ScalarQuantised())
            : new ScalarQuantised();
    name = "scalar, " + library.instructions() + " products";
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public GradKernels gradients() {
    return new ScalarGradKernels();
  }

  @Override
  public @Nullable CpuLibrary library() {
    return library;
  }

  @Override
  public DotKernels products() {
    return products;
  }

  @Override
  public QuantisedKernels quantised() {
    return quantised;
  }

  @Override
  public int lanes() {
    return LANES;
  }

  @Override
  public int maxVectors() {
    return 3;
  }

  static float load(DType type, long address, long index) {
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
  public void toFloats(DType type, long from, float[] to, int at, int n) {
    for (int i = 0; i < n; i++) {
      to[at + i] = load(type, from, i);
    }
  }

  @Override
  public void fromFloats(DType type, float[] from, int at, long to, int n) {
    for (int i = 0; i < n; i++) {
      float value = from[at + i];
      switch (type) {
        case F32 -> setFloat(to + 4L * i, value);
        case F16 -> setShort(to + 2L * i, Float.floatToFloat16(value));
        case BF16 -> setShort(to + 2L * i, toBFloat16(value));
        default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
      }
    }
  }

  @Override
  public void pack(
      long from, long fromStride, int rows, int columns, float[] to, int at, int toStride) {
    for (int r = 0; r < rows; r++) {
      long row = from + 4L * r * fromStride;
      for (int c = 0; c < columns; c++) {
        to[at + c * toStride + r] = getFloat(row + 4L * c);
      }
    }
  }

  @Override
  public void unpack(
      float[] from, int at, int fromStride, int rows, int columns, long to, long toStride) {
    for (int c = 0; c < columns; c++) {
      long row = to + 4L * c * toStride;
      for (int r = 0; r < rows; r++) {
        setFloat(row + 4L * r, from[at + r * fromStride + c]);
      }
    }
  }

  @Override
  public void tile(
      int vectors,
      float[] x,
      int xAt,
      float[] w,
      int wAt,
      int wStride,
      int k,
      float[] acc,
      int accAt,
      boolean add) {
    int width = vectors * LANES;
    for (int r = 0; r < TILE_ROWS; r++) {
      int row = accAt + r * width;
      if (!add) {
        Arrays.fill(acc, row, row + width, 0);
      }
      for (int i = 0; i < k; i++) {
        float factor = w[wAt + r * wStride + i];
        int values = xAt + i * width;
        for (int c = 0; c < width; c++) {
          acc[row + c] += factor * x[values + c];
        }
      }
    }
  }

  @Override
  public void rowDots(
      float[] x, int xAt, long rows, int n, int width, float[] scores, int at, float[] scratch) {
    for (int j = 0; j < n; j++) {
      double sum = 0;
      for (int c = 0; c < width; c++) {
        sum += (double) x[xAt + c] * Memory.getFloat(rows + 4L * (j * width + c));
      }
      scores[at + j] = (float) sum;
    }
  }

  @Override
  public void addWeightedRows(
      float[] p, int at, long rows, int n, int width, float[] out, int outAt) {
    for (int j = 0; j < n; j++) {
      for (int c = 0; c < width; c++) {
        out[outAt + c] += p[at + j] * Memory.getFloat(rows + 4L * (j * width + c));
      }
    }
  }

  @Override
  public void softmaxColumns(float[] x, int at, int n, int width, float[] state, int stateAt) {
    for (int c = 0; c < width; c++) {
      float oldMax = state[stateAt + c];
      float newMax = oldMax;
      for (int i = 0; i < n; i++) {
        newMax = Math.max(newMax, x[at + i * width + c]);
      }
      float correction = (float) Math.exp(oldMax - newMax);
      double total = (double) state[stateAt + width + c] * correction;
      for (int i = 0; i < n; i++) {
        int place = at + i * width + c;
        x[place] = (float) Math.exp(x[place] - newMax);
        total += x[place];
      }
      state[stateAt + c] = newMax;
      state[stateAt + width + c] = (float) total;
      state[stateAt + 2 * width + c] = correction;
    }
  }

  @Override
  public double softmax(float[] x, int at, int n) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = at; i < at + n; i++) {
      max = Math.max(max, x[i]);
    }
    double total = 0;
    for (int i = at; i < at + n; i++) {
      x[i] = (float) Math.exp(x[i] - max);
      total += x[i];
    }
    scale(x, at, n, (float) (1 / total));
    return max + Math.log(total);
  }

  @Override
  public void scaleColumns(float[] x, int at, int rows, int width, float[] factor, int factorAt) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < width; c++) {
        x[at + r * width + c] *= factor[factorAt + c];
      }
    }
  }

  @Override
  public void scale(float[] x, int at, int n, float factor) {
    for (int i = at; i < at + n; i++) {
      x[i] *= factor;
    }
  }

  @Override
  public void add(long x, long y, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, getFloat(x + 4L * i) + getFloat(y + 4L * i));
    }
  }

  @Override
  public void addGelu(long x, long y, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(x + 4L * i, gelu(getFloat(x + 4L * i) + getFloat(y + 4L * i)));
    }
  }

  static float gelu(float x) {
    return (float) (0.5 * x * (1 + erf(x * Math.sqrt(0.5))));
  }

  /**
   * The error function within 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions,
   * 7.1.26).
   */
  static double erf(double x) {
    double a = Math.abs(x);
    double t = 1 / (1 + 0.3275911 * a);
    double inner = -1.453152027 + t * 1.061405429;
    double poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * inner)));
    return Math.copySign(1 - poly * Math.exp(-a * a), x);
  }

  static float silu(float x) {
    return (float) (x / (1 + Math.exp(-x)));
  }

  @Override
  public void siluMul(long gate, long up, long out, int n) {
    for (int i = 0; i < n; i++) {
      setFloat(out + 4L * i, silu(getFloat(gate + 4L * i)) * getFloat(up + 4L * i));
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
  public void rotate(long x, float[] table, int at, int half) {
    for (int i = 0; i < half; i++) {
      float a = getFloat(x + 4L * i);
      float b = getFloat(x + 4L * (half + i));
      float cos = table[at + i];
      float sin = table[at + half + i];
      setFloat(x + 4L * i, a * cos - b * sin);
      setFloat(x + 4L * (half + i), b * cos + a * sin);
    }
  }
}
