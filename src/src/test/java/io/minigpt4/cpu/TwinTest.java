package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.offset;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The vector kernels against their scalar twin, and that against sums in double precision. */
class TwinTest {
  private final CpuOps vector = CpuOps.create(2, new VectorKernels());
  private final CpuOps scalar = CpuOps.create(1, new ScalarKernels());

  /** With native products where the machine runs them. */
  private final CpuOps fastest = CpuOps.create(2);

  private final CpuOps quick = CpuOps.createScalar(2);

  private final SplittableRandom random = new SplittableRandom(7);

  @AfterEach
  void close() {
    quick.close();
    fastest.close();
    vector.close();
    scalar.close();
  }

  private Tensor filled(DType type, long... shape) {
    Tensor tensor = vector.allocate(type, shape);
    float[] values = new float[(int) tensor.elements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    vector.write(MemorySegment.ofArray(values), tensor);
    return tensor;
  }

  /** Floats that are numbers in bfloat16, too. */
  private Tensor rounded(long... shape) {
    Tensor tensor = filled(DType.F32, shape);
    float[] values = Floats.of(tensor);
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(ScalarKernels.toBFloat16(values[i]) << 16);
    }
    vector.write(MemorySegment.ofArray(values), tensor);
    return tensor;
  }

  private Tensor copy(Tensor from) {
    Tensor to = vector.allocate(from.dtype(), from.shape());
    vector.copy(from, to);
    return to;
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1",
    "1, 3, 17",
    "1, 5, 2051",
    "2, 7, 33",
    "7, 9, 40",
    "8, 4, 64",
    "9, 4, 64",
    "16, 31, 65",
    "17, 33, 5",
    "53, 130, 129",
    "96, 12, 16",
    "97, 257, 70",
    "257, 20, 88",
    "800, 9, 30",
    "33, 16, 1100",
    "20, 33, 1021",
    "15, 5, 4093"
  })
  void linear(int m, int n, int k) {
    for (DType type : new DType[] {DType.F32, DType.F16, DType.BF16}) {
      // Rounding x to bfloat16, as products by its dot products do, must change nothing here.
      Tensor wide = type == DType.BF16 ? rounded(m, k + 3) : filled(DType.F32, m, k + 3);
      Tensor x = wide.columns(2, k + 2);
      Tensor w = filled(type, n, k);
      Tensor bias = filled(DType.F32, n);
      Tensor into = filled(DType.F32, m, n + 5);
      float[] around = Floats.of(into.columns(n + 1, n + 5));
      Tensor out = into.columns(1, n + 1);
      Tensor expected = scalar.allocate(DType.F32, m, n);
      for (boolean gelu : new boolean[] {false, true}) {
        if (gelu) {
          vector.linearGelu(x, w, bias, out);
          scalar.linearGelu(x, w, bias, expected);
        } else {
          vector.linear(x, w, bias, out);
          scalar.linear(x, w, bias, expected);
          assertCloseToDoubles(x, w, bias, expected);
          scalar.linearPerRow(x, w, bias, expected);
          assertCloseToDoubles(x, w, bias, expected);
          Tensor perRow = vector.allocate(DType.F32, m, n);
          vector.linearPerRow(x, w, bias, perRow);
          assertCloseToDoubles(x, w, bias, perRow);
          fastest.linearPerRow(x, w, bias, perRow);
          assertCloseToDoubles(x, w, bias, perRow);
        }
        double absolute = 2e-6 * Math.sqrt(k) + 1e-6;
        Floats.assertClose(
            Floats.of(out), Floats.of(expected), 1e-5, absolute, type + " gelu " + gelu);
        for (CpuOps withNative : new CpuOps[] {quick, fastest}) {
          if (gelu) {
            withNative.linearGelu(x, w, bias, out);
          } else {
            withNative.linear(x, w, bias, out);
          }
          Floats.assertClose(
              Floats.of(out), Floats.of(expected), 1e-5, absolute, withNative.device() + type);
        }
      }
      assertThat(Floats.of(into.columns(n + 1, n + 5))).containsExactly(around);
    }
  }

  @Test
  void halvesThatAreNoOrdinaryFloats() {
    int k = 199;
    Tensor x = filled(DType.F32, 2, k);
    Tensor w = filled(DType.F16, 7, k);
    short[][] special = {
      {0x0001, (short) 0x8001, 0x03ff, (short) 0x83ff, 0x0400, (short) 0x8400, 0x0200},
      {0, (short) 0x8000},
      {0x7bff, (short) 0xfbff, 0x0001}
    };
    for (int row = 0; row < 3; row++) {
      for (int c = row; c < k; c += row == 1 ? 1 : 5) {
        set(w, row, c, special[row][c % special[row].length]);
      }
    }
    set(w, 3, 17, (short) 0x7c00);
    set(w, 4, 198, (short) 0xfc00);
    set(w, 5, 64, (short) 0x7e00);
    for (CpuOps ops : new CpuOps[] {scalar, vector, fastest}) {
      for (int m : new int[] {1, 2}) {
        Tensor out = ops.allocate(DType.F32, m, 7);
        ops.linearPerRow(x.slice(0, m), w, null, out);
        assertCloseToDoubles(x.slice(0, m), w.slice(0, 3), out.columns(0, 3));
        float[] sums = Floats.of(out.slice(0, 1));
        assertThat(sums[3]).isInfinite().isEqualTo(Math.copySign(sums[3], at(x, 17)));
        assertThat(sums[4]).isInfinite().isEqualTo(Math.copySign(sums[4], -at(x, 198)));
        assertThat(sums[5]).isNaN();
        assertCloseToDoubles(x.slice(0, m), w.slice(6, 7), out.columns(6, 7));
      }
    }
  }

  private static void set(Tensor w, int row, int column, short bits) {
    Memory.setShort(w.address() + 2 * (row * w.width() + column), bits);
  }

  private static float at(Tensor x, int column) {
    return Memory.getFloat(x.address() + 4L * column);
  }

  private void assertCloseToDoubles(Tensor x, Tensor w, Tensor actual) {
    Tensor none = scalar.allocate(DType.F32, w.rows());
    none.segment().fill((byte) 0);
    assertCloseToDoubles(x, w, none, actual);
  }

  private void assertCloseToDoubles(Tensor x, Tensor w, Tensor bias, Tensor actual) {
    float[] weights = new float[(int) w.elements()];
    scalar.read(w, MemorySegment.ofArray(weights));
    float[] inputs = Floats.of(x);
    float[] biases = Floats.of(bias);
    int n = (int) w.rows();
    int k = (int) w.width();
    float[] expected = new float[(int) (x.rows() * n)];
    for (int i = 0; i < x.rows(); i++) {
      for (int j = 0; j < n; j++) {
        double sum = biases[j];
        for (int c = 0; c < k; c++) {
          sum += (double) inputs[i * k + c] * weights[j * k + c];
        }
        expected[i * n + j] = (float) sum;
      }
    }
    Floats.assertClose(Floats.of(actual), expected, 1e-5, 2e-6 * Math.sqrt(k) + 1e-6, "scalar");
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 1, 1",
    "1, 2, 3, 5, 7",
    "2, 257, 257, 2, 88",
    "1, 32, 257, 3, 64",
    "3, 17, 65, 1, 20",
    "1, 100, 129, 2, 32",
    "1, 20, 700, 1, 16"
  })
  void attention(int batch, int queries, int keys, int heads, int dim) {
    Tensor qkv = filled(DType.F32, (long) batch * Math.max(queries, keys), 3L * heads * dim);
    long width = (long) heads * dim;
    Tensor q = qkv.slice(0, (long) batch * queries).columns(0, width);
    Tensor k = qkv.slice(0, (long) batch * keys).columns(width, 2 * width);
    Tensor v = qkv.slice(0, (long) batch * keys).columns(2 * width, 3 * width);
    Tensor out = vector.allocate(DType.F32, (long) batch * queries, width);
    Tensor expected = scalar.allocate(DType.F32, (long) batch * queries, width);
    float scale = (float) Math.pow(dim, -0.5);
    vector.attention(q, k, v, batch, heads, scale, out);
    scalar.attention(q, k, v, batch, heads, scale, expected);
    Floats.assertClose(Floats.of(out), Floats.of(expected), 1e-4, 1e-5, "attention");
    fastest.attention(q, k, v, batch, heads, scale, out);
    Floats.assertClose(Floats.of(out), Floats.of(expected), 1e-4, 1e-5, "native attention");
  }

  /** Prefill and decode agree with each other and with the twin, around the ends of pages. */
  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16"})
  void causalAttention(DType type) {
    int dim = 20;
    int total = 131;
    Tensor q = filled(DType.F32, total, 4L * dim);
    Tensor k = filled(DType.F32, total, 2L * dim);
    Tensor v = filled(DType.F32, total, 2L * dim);
    Tensor frequencies = vector.allocate(DType.F32, 10);
    for (int i = 0; i < dim / 2; i++) {
      Memory.setFloat(frequencies.address() + 4L * i, (float) Math.pow(100, -2.0 * i / dim));
    }
    float[] expected = causal(scalar, type, total, q, k, v, frequencies);
    for (int past : new int[] {0, 1, 60, 63, 64, 65, 127, 128}) {
      for (CpuOps ops : new CpuOps[] {vector, fastest}) {
        float[] actual = causal(ops, type, past, q, k, v, frequencies);
        Floats.assertClose(actual, expected, 1e-4, 2e-5, ops.device() + ", first pass of " + past);
      }
    }
  }

  /** A first pass of {@code past} rows, one of up to nine, and single rows to the end. */
  private float[] causal(
      CpuOps ops, DType type, int past, Tensor q, Tensor k, Tensor v, Tensor frequencies) {
    int total = (int) q.rows();
    KvCache.Pool pool = new KvCache.Pool(ops, type, 3, 2, 20);
    Tensor rotated = copy(q);
    Tensor keys = copy(k);
    Tensor out = ops.allocate(DType.F32, total, q.width());
    try (KvCache cache = pool.newCache()) {
      Batch batch = new Batch(1);
      int at = 0;
      while (at < total) {
        int count = at == 0 && past > 0 ? past : at <= past ? Math.min(9, total - at) : 1;
        batch.clear();
        batch.add(cache, count);
        Tensor rows = rotated.slice(at, at + count);
        ops.ropeAppend(
            rows, keys.slice(at, at + count), v.slice(at, at + count), batch, 2, frequencies);
        ops.causalAttention(rows, batch, 2, out.slice(at, at + count));
        batch.commit();
        at += count;
      }
    }
    return Floats.of(out);
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "3, 15", "2, 16", "5, 257", "1, 2048", "40, 1000"})
  void rowWise(int rows, int width) {
    Tensor x = filled(DType.F32, rows, width);
    Tensor y = filled(DType.F32, rows, width);
    Tensor weight = filled(DType.F16, width);
    Tensor bias = filled(DType.BF16, width);
    Tensor a = copy(x);
    Tensor b = copy(x);
    vector.addLayerNorm(a, y, weight, bias, 1e-5f, a);
    scalar.addLayerNorm(b, y, weight, bias, 1e-5f, b);
    Floats.assertClose(Floats.of(a), Floats.of(b), 1e-4, 2e-5, "layer norm");
    vector.addRmsNorm(a, y, weight, 1e-5f, a);
    scalar.addRmsNorm(b, y, weight, 1e-5f, b);
    Floats.assertClose(Floats.of(a), Floats.of(b), 1e-4, 5e-5, "rms norm");
    vector.siluMul(a, y, a);
    scalar.siluMul(b, y, b);
    vector.add(a, x);
    scalar.add(b, x);
    Floats.assertClose(Floats.of(a), Floats.of(b), 1e-4, 1e-4, "silu, add");
  }

  @Test
  void extremesOfActivations() {
    float[] values = {
      0, -0f, 1e-30f, -1e-30f, 5, -5, 20, -20, 88, -88, 100, -100, 1e4f, -1e4f, 3e38f, -3e38f,
      Float.NaN
    };
    int n = values.length;
    Tensor x = vector.allocate(DType.F32, n);
    Tensor one = vector.allocate(DType.F32, n);
    float[] ones = new float[n];
    Arrays.fill(ones, 1);
    vector.write(MemorySegment.ofArray(values), x);
    vector.write(MemorySegment.ofArray(ones), one);
    Tensor out = vector.allocate(DType.F32, n);
    vector.siluMul(x, one, out);
    float[] silu = Floats.of(out);
    for (int i = 0; i < n - 1; i++) {
      double expected = values[i] / (1 + Math.exp(-values[i]));
      assertThat((double) silu[i])
          .as("silu(%s)", values[i])
          .isCloseTo(expected, offset(1e-6 * Math.abs(expected) + 1e-6));
    }
    assertThat(silu[n - 1]).isNaN();
  }

  /** All 65,536 halves, by both kernels. */
  @Test
  void conversionsOfAllHalfWidthValues() {
    int count = 1 << 16;
    Tensor half = vector.allocate(DType.F16, count);
    Tensor brain = vector.allocate(DType.BF16, count);
    for (int i = 0; i < count; i++) {
      Memory.setShort(half.address() + 2L * i, (short) i);
      Memory.setShort(brain.address() + 2L * i, (short) i);
    }
    for (CpuOps ops : new CpuOps[] {scalar, vector}) {
      float[] floats = new float[count];
      ops.read(half, MemorySegment.ofArray(floats));
      Tensor back = ops.allocate(DType.F16, count);
      ops.write(MemorySegment.ofArray(floats), back);
      for (int i = 0; i < count; i++) {
        float expected = exactHalf(i);
        assertThat(Float.isNaN(expected) ? Float.isNaN(floats[i]) : floats[i] == expected)
            .as("half %x", i)
            .isTrue();
        if (!Float.isNaN(expected)) {
          assertThat(Memory.getShort(back.address() + 2L * i)).isEqualTo((short) i);
        }
      }
      ops.read(brain, MemorySegment.ofArray(floats));
      Tensor again = ops.allocate(DType.BF16, count);
      ops.write(MemorySegment.ofArray(floats), again);
      for (int i = 0; i < count; i++) {
        assertThat(Float.floatToRawIntBits(floats[i]) >>> 16).isEqualTo(i);
        if (!Float.isNaN(floats[i])) {
          assertThat(Memory.getShort(again.address() + 2L * i)).isEqualTo((short) i);
        }
      }
    }
  }

  /** Every half as a weight, once at an even and once at an odd place of a row, alone not zero. */
  @ParameterizedTest
  @CsvSource({"1, 64", "1, 3", "3, 32", "16, 32"})
  void productsWithAllHalves(int m, int k) {
    int count = 1 << 16;
    Tensor weight = vector.allocate(DType.F16, count, k);
    Tensor x = vector.allocate(DType.F32, m, k);
    Tensor out = vector.allocate(DType.F32, m, count);
    for (int place : new int[] {0, 1, k - 1}) {
      weight.segment().fill((byte) 0);
      x.segment().fill((byte) 0);
      for (int i = 0; i < count; i++) {
        Memory.setShort(weight.address() + 2L * (i * (long) k + place), (short) i);
      }
      for (int row = 0; row < m; row++) {
        Memory.setFloat(x.address() + 4L * (row * (long) k + place), 1 + row);
      }
      vector.linear(x, weight, null, out);
      float[] products = Floats.of(out);
      for (int row = 0; row < m; row++) {
        for (int i = 0; i < count; i++) {
          float expected = (1 + row) * exactHalf(i);
          float actual = products[row * count + i];
          assertThat(Float.isNaN(expected) ? Float.isNaN(actual) : actual == expected)
              .as("half %x at %d: %s, expected %s", i, place, actual, expected)
              .isTrue();
        }
      }
    }
  }

  /** IEEE 754 binary16 from its definition. */
  private static float exactHalf(int bits) {
    int exponent = (bits >> 10) & 31;
    int fraction = bits & 1023;
    double magnitude;
    if (exponent == 31) {
      magnitude = fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
    } else if (exponent == 0) {
      magnitude = Math.scalb((double) fraction, -24);
    } else {
      magnitude = Math.scalb(1024.0 + fraction, exponent - 25);
    }
    return (float) (bits >> 15 == 0 ? magnitude : -magnitude);
  }

  @Test
  void roundingToBFloat16IsToNearestEven() {
    assertThat(ScalarKernels.toBFloat16(Float.intBitsToFloat(0x3f808000)))
        .isEqualTo((short) 0x3f80);
    assertThat(ScalarKernels.toBFloat16(Float.intBitsToFloat(0x3f818000)))
        .isEqualTo((short) 0x3f82);
    assertThat(ScalarKernels.toBFloat16(Float.intBitsToFloat(0x3f808001)))
        .isEqualTo((short) 0x3f81);
    assertThat(ScalarKernels.toBFloat16(Float.MAX_VALUE)).isEqualTo((short) 0x7f80);
  }
}
