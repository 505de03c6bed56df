package io.minigpt4.softgpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Each instruction against Java's own arithmetic, on random and on special values. */
class ArithmeticTest {
  private static final int N = 512;

  private static int[] randomInts(Random r) {
    int[] special = {0, 1, -1, Integer.MIN_VALUE, Integer.MAX_VALUE, 31, 32, 33, 255, 0x80};
    int[] out = new int[N];
    for (int i = 0; i < N; i++) {
      out[i] = i < 100 ? special[r.nextInt(special.length)] : r.nextInt() >> r.nextInt(32);
    }
    return out;
  }

  @Test
  void integers() {
    Random r = new Random(1);
    int[] a = randomInts(r);
    int[] b = randomInts(r);
    try (Device d = new Device("arithmetic")) {
      long out = d.gpu.alloc(N * 24L * 4);
      d.launch("integers", (N + 95) / 96, 96, d.put(a), d.put(b), out, N);
      int[] o = d.ints(out, N * 24);
      for (int i = 0; i < N; i++) {
        int[] got = Arrays.copyOfRange(o, i * 24, i * 24 + 24);
        assertThat(got).as("%d and %d", a[i], b[i]).containsExactly(integers(a[i], b[i]));
      }
    }
  }

  private static int[] integers(int x, int y) {
    long pair = ((long) y << 32) | Integer.toUnsignedLong(x);
    int field = ((1 << 9) - 1) << 4;
    return new int[] {
      x + y,
      x * y,
      (int) (((long) x * y) >> 32),
      (int) ((Integer.toUnsignedLong(x) * Integer.toUnsignedLong(y)) >>> 32),
      y == 0 || x == Integer.MIN_VALUE ? 0 : x / y,
      y == 0 ? 0 : Integer.remainderUnsigned(x, y),
      x << y,
      x >> y,
      x >>> y,
      Integer.bitCount(x),
      Integer.numberOfLeadingZeros(x),
      Integer.reverse(x),
      bytes(pair, 0x5146),
      // __funnelshift_l(lo, hi, n): the upper word of hi:lo shifted left.
      (int) ((pair << 13) >>> 32),
      (int) (pair >>> 7),
      Math.min(x, y),
      Integer.compareUnsigned(x, y) > 0 ? x : y,
      Math.abs(x),
      (x & y) ^ (~x | 0x55),
      (x >>> 5) & 0x7FF,
      x >> 27,
      (y & ~field) | ((x << 4) & field),
      Integer.compareUnsigned(y, 32) < 0 ? x << y : 0,
      31 - Integer.numberOfLeadingZeros(x < 0 ? ~x : x),
    };
  }

  private static int bytes(long pair, int selector) {
    int out = 0;
    for (int i = 0; i < 4; i++) {
      int from = (selector >> (4 * i)) & 7;
      out |= (int) ((pair >>> (8 * from)) & 0xFF) << (8 * i);
    }
    return out;
  }

  @Test
  void longs() {
    Random r = new Random(2);
    long[] a = r.longs(N).toArray();
    long[] b = r.longs(N).map(v -> v >> (int) (v & 63)).toArray();
    try (Device d = new Device("arithmetic")) {
      long out = d.gpu.alloc(N * 8L * 8);
      d.launch("longs", 4, 128, d.put(a), d.put(b), out, N);
      long[] o = d.longs(out, N * 8);
      for (int i = 0; i < N; i++) {
        long x = a[i];
        long y = b[i];
        long[] want = {
          x * y + (x ^ y),
          Math.multiplyHigh(x, y),
          y == 0 ? 0 : Long.divideUnsigned(x, y),
          x >> y,
          Long.bitCount(x) + Long.numberOfLeadingZeros(x),
          (long) (int) x * (int) y,
          (short) x + (y & 0xFF) + (byte) (x >> 8),
          Math.min(x, y)
        };
        assertThat(Arrays.copyOfRange(o, i * 8, i * 8 + 8))
            .as("%d and %d", x, y)
            .containsExactly(want);
      }
    }
  }

  private static float[] randomFloats(Random r) {
    float[] special = {
      0f, -0f, 1f, -1f, 0.5f, 1e-40f, 3e38f, Float.NaN, Float.MIN_VALUE, 16777216f
    };
    float[] out = new float[N];
    for (int i = 0; i < N; i++) {
      out[i] =
          i < 64
              ? special[r.nextInt(special.length)]
              : (float) (r.nextGaussian() * Math.pow(10, r.nextInt(9) - 4));
    }
    return out;
  }

  @Test
  void floats() {
    Random r = new Random(3);
    float[] a = randomFloats(r);
    float[] b = randomFloats(r);
    try (Device d = new Device("arithmetic")) {
      long out = d.gpu.alloc(N * 20L * 4);
      d.launch("floats", 4, 128, d.put(a), d.put(b), out, N);
      float[] o = d.floats(out, N * 20);
      for (int i = 0; i < N; i++) {
        floats(a[i], b[i], Arrays.copyOfRange(o, i * 20, i * 20 + 20));
      }
    }
  }

  private static void floats(float x, float y, float[] o) {
    String what = x + " and " + y;
    same(o[0], Math.fma(x, y, 1.5f), what);
    same(o[1], x / y, what);
    same(o[2], (float) Math.sqrt(Math.abs(x)), what);
    close(o[3], Math.pow(2, y), what);
    close(o[4], Math.exp(-Math.abs(x * 1e-3)), what);
    same(o[5], Float.isNaN(x) ? y : Float.isNaN(y) ? x : Math.min(x, y), what);
    same(o[6], Float.isNaN(x) ? y : Float.isNaN(y) ? x : Math.max(x, y), what);
    same(o[7], (float) (int) x, what);
    same(o[8], (float) Math.rint(y), what);
    rounded(o[9], exact(x, 1f, y), RoundingMode.DOWN, what);
    rounded(o[10], exact(x, y, 0f), RoundingMode.CEILING, what);
    rounded(o[11], exact(x, y, 0.3f), RoundingMode.FLOOR, what);
    same(o[12], (x < y ? 1f : 0f) + (Float.isNaN(x) ? 2f : 0f), what);
    same(o[13], (float) ((double) x * (double) y), what);
    close(o[14], Math.tanh(y), what);
    if (Math.abs(x) < 1e5) {
      close(o[15], Math.sin(x), what);
    }
    same(o[16], Math.copySign(x, y), what);
    close(o[17], 1 / Math.sqrt(Math.abs(y) + 1), what);
    same(o[18], y > 0 ? Math.min(y, 1f) : 0f, what);
    long unsigned = Float.isNaN(x) ? 0 : Math.clamp((long) x, 0L, 0xFFFFFFFFL);
    long down = Float.isNaN(y) ? Long.MIN_VALUE : (long) Math.floor(y);
    same(o[19], (float) unsigned + (float) down, what);
  }

  /** Equal, NaN to NaN and each zero to itself. */
  private static void same(float got, float want, String what) {
    assertThat(Float.valueOf(got)).as(what).isEqualTo(Float.valueOf(want));
  }

  private static void close(float got, double want, String what) {
    if (Double.isNaN(want) || Math.abs(want) > Float.MAX_VALUE) {
      same(got, (float) want, what);
    } else {
      double tolerance = Math.max(2e-6 * Math.abs(want), 2e-7);
      assertThat(Math.abs(got - want)).as("%s: %s", what, got).isLessThanOrEqualTo(tolerance);
    }
  }

  /** x y + z without rounding; null where it is not finite. */
  private static @Nullable BigDecimal exact(float x, float y, float z) {
    if (!Float.isFinite(x) || !Float.isFinite(y) || !Float.isFinite(z)) {
      return null;
    }
    return new BigDecimal(x).multiply(new BigDecimal(y)).add(new BigDecimal(z));
  }

  /** Checks that no float lies between the result and the exact value on the rounding's side. */
  private static void rounded(
      float got, @Nullable BigDecimal exact, RoundingMode mode, String what) {
    if (exact == null || !Float.isFinite(got)) {
      return;
    }
    boolean down = mode == RoundingMode.FLOOR || (mode == RoundingMode.DOWN && exact.signum() >= 0);
    BigDecimal value = new BigDecimal(got, MathContext.UNLIMITED);
    float next = down ? Math.nextUp(got) : Math.nextDown(got);
    assertThat(value.compareTo(exact)).as(what).isIn(0, down ? -1 : 1);
    if (Float.isFinite(next)) {
      assertThat(new BigDecimal(next).compareTo(exact)).as(what).isEqualTo(down ? 1 : -1);
    }
  }

  @Test
  void halves() {
    Random r = new Random(4);
    float[] a = randomFloats(r);
    float[] b = randomFloats(r);
    try (Device d = new Device("arithmetic")) {
      long out = d.gpu.alloc(N * 10L * 4);
      d.launch("halves", 4, 128, d.put(a), d.put(b), out, N);
      int[] o = d.ints(out, N * 10);
      for (int i = 0; i < N; i++) {
        float x = half(a[i]);
        float y = half(b[i]);
        float c = half(0.37f);
        String what = x + " and " + y;
        same(low(o[i * 10]), half(x * (double) y + x), what);
        same(high(o[i * 10]), half(y * (double) c + y), what);
        same(low(o[i * 10 + 1]), half(x + (double) y), what);
        same(low(o[i * 10 + 2]), half(x * (double) y), what);
        same(high(o[i * 10 + 2]), half(y * (double) c), what);
        float max = Float.isNaN(x) ? y : Float.isNaN(y) ? x : Math.max(x, y);
        same(low(o[i * 10 + 3]), max, what);
        float p = brain(a[i]);
        float q = brain(b[i]);
        same(Float.intBitsToFloat(o[i * 10 + 5] << 16), brain(p * q), what);
        same(Float.intBitsToFloat(o[i * 10 + 7]), x + q, what);
        assertThat(o[i * 10 + 8]).isEqualTo((x > y ? 1 : 0) + (Float.isNaN(x) ? 2 : 0));
        int n = Float.isNaN(y) ? 0 : (int) Math.clamp(Math.rint(y), -2147483648.0, 2147483647.0);
        assertThat(o[i * 10 + 9]).as(what).isEqualTo(n);
      }
    }
  }

  private static float low(int pair) {
    return Float.float16ToFloat((short) pair);
  }

  private static float high(int pair) {
    return Float.float16ToFloat((short) (pair >>> 16));
  }

  /** The nearest f16, from the exact decimal value: ties to even by comparing both neighbours. */
  private static float half(double x) {
    if (Double.isNaN(x) || Double.isInfinite(x)) {
      return (float) x;
    }
    short guess = Float.floatToFloat16((float) x);
    float best = Float.float16ToFloat(guess);
    if (Float.isInfinite(best)) {
      return Math.abs(x) < 65520 ? Math.copySign(65504f, (float) x) : best;
    }
    for (int step : new int[] {-1, 1}) {
      float other = Float.float16ToFloat((short) (guess + step));
      double nearer = Math.abs(other - x) - Math.abs(best - x);
      boolean even = ((guess + step) & 1) == 0;
      if (Float.isFinite(other) && (nearer < 0 || (nearer == 0 && even))) {
        best = other;
      }
    }
    return best;
  }

  private static float brain(float x) {
    int bits = Float.floatToRawIntBits(x);
    int down = bits & 0xFFFF0000;
    int rest = bits & 0xFFFF;
    boolean up = rest > 0x8000 || (rest == 0x8000 && (down & 0x10000) != 0);
    return Float.isNaN(x) ? x : Float.intBitsToFloat(up ? down + 0x10000 : down);
  }
}
