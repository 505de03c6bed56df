package io.minigpt4.softgpu.isa;

/**
 * Instructions on f16 and bf16 and pairs of them, as bits, named as in {@link IntOps}. Results are
 * those of exact arithmetic rounded once, to nearest even: on the way they are rounded to odd in
 * wider formats (Boldo and Melquiond, "When double rounding is odd").
 */
@SuppressWarnings("MethodName")
public final class HalfOps {
  private HalfOps() {}

  /** Value of f16 bits. */
  public static float f16ToFloat(int bits) {
    return Float.float16ToFloat((short) bits);
  }

  /** Value of bf16 bits. */
  public static float bf16ToFloat(int bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** Bits of the nearest f16; NaN is 0x7FFF, as NVIDIA's hardware gives. */
  public static int floatToF16(float x) {
    return Float.isNaN(x) ? 0x7FFF : Float.floatToFloat16(x) & 0xFFFF;
  }

  /** Bits of the nearest bf16; NaN is 0x7FFF. */
  public static int floatToBf16(float x) {
    int b = Float.floatToRawIntBits(x);
    return Float.isNaN(x) ? 0x7FFF : (b + 0x7FFF + (b >>> 16 & 1)) >>> 16;
  }

  /** Bits of the nearest f16 of a double, rounded once. */
  public static int doubleToF16(double x) {
    return floatToF16(toOdd(x));
  }

  /** Bits of the nearest bf16 of a double, rounded once. */
  public static int doubleToBf16(double x) {
    return floatToBf16(toOdd(x));
  }

  /** Rounds to odd: from the float a rounding to fewer bits gives what the double would have. */
  static float toOdd(double x) {
    float f = (float) x;
    if (f == x || Float.isNaN(f) || Float.isInfinite(f) || (Float.floatToRawIntBits(f) & 1) != 0) {
      return f;
    }
    return f < x ? Math.nextUp(f) : Math.nextDown(f);
  }

  /** a + b, rounded to odd. */
  static double sum(double a, double b) {
    double s = a + b;
    double t = s - a;
    double lost = (a - (s - t)) + (b - t);
    if (lost == 0 || !Double.isFinite(s) || (Double.doubleToRawLongBits(s) & 1) != 0) {
      return s;
    }
    return lost > 0 ? Math.nextUp(s) : Math.nextDown(s);
  }

  private static int low(int pair) {
    return pair & 0xFFFF;
  }

  private static int pair(int lo, int hi) {
    return lo | hi << 16;
  }

  /** Negative numbers become zero; NaN stays. */
  private static int relu(int bits, int infinity) {
    return (bits & 0x8000) != 0 && (bits & 0x7FFF) <= infinity ? 0 : bits;
  }

  public static int add_f16(int a, int b) {
    return doubleToF16(sum(f16ToFloat(a), f16ToFloat(b)));
  }

  public static int sub_f16(int a, int b) {
    return doubleToF16(sum(f16ToFloat(a), -f16ToFloat(b)));
  }

  public static int mul_f16(int a, int b) {
    return doubleToF16((double) f16ToFloat(a) * f16ToFloat(b));
  }

  public static int fma_f16(int a, int b, int c) {
    return doubleToF16(sum((double) f16ToFloat(a) * f16ToFloat(b), f16ToFloat(c)));
  }

  public static int fma_relu_f16(int a, int b, int c) {
    return relu(fma_f16(a, b, c), 0x7C00);
  }

  public static int neg_f16(int a) {
    return a ^ 0x8000;
  }

  public static int abs_f16(int a) {
    return a & 0x7FFF;
  }

  public static int min_f16(int a, int b) {
    return floatToF16(FloatOps.min_f32(f16ToFloat(a), f16ToFloat(b)));
  }

  public static int min_NaN_f16(int a, int b) {
    return floatToF16(Math.min(f16ToFloat(a), f16ToFloat(b)));
  }

  public static int max_f16(int a, int b) {
    return floatToF16(FloatOps.max_f32(f16ToFloat(a), f16ToFloat(b)));
  }

  public static int max_NaN_f16(int a, int b) {
    return floatToF16(Math.max(f16ToFloat(a), f16ToFloat(b)));
  }

  public static int ex2_f16(int a) {
    return floatToF16(FloatOps.ex2_f32(f16ToFloat(a)));
  }

  public static int tanh_f16(int a) {
    return floatToF16(FloatOps.tanh_f32(f16ToFloat(a)));
  }

  public static int add_f16x2(int a, int b) {
    return pair(add_f16(low(a), low(b)), add_f16(a >>> 16, b >>> 16));
  }

  public static int sub_f16x2(int a, int b) {
    return pair(sub_f16(low(a), low(b)), sub_f16(a >>> 16, b >>> 16));
  }

  public static int mul_f16x2(int a, int b) {
    return pair(mul_f16(low(a), low(b)), mul_f16(a >>> 16, b >>> 16));
  }

  public static int min_f16x2(int a, int b) {
    return pair(min_f16(low(a), low(b)), min_f16(a >>> 16, b >>> 16));
  }

  public static int max_f16x2(int a, int b) {
    return pair(max_f16(low(a), low(b)), max_f16(a >>> 16, b >>> 16));
  }

  public static int min_NaN_f16x2(int a, int b) {
    return pair(min_NaN_f16(low(a), low(b)), min_NaN_f16(a >>> 16, b >>> 16));
  }

  public static int max_NaN_f16x2(int a, int b) {
    return pair(max_NaN_f16(low(a), low(b)), max_NaN_f16(a >>> 16, b >>> 16));
  }

  public static int fma_f16x2(int a, int b, int c) {
    return pair(fma_f16(low(a), low(b), low(c)), fma_f16(a >>> 16, b >>> 16, c >>> 16));
  }

  public static int fma_relu_f16x2(int a, int b, int c) {
    return pair(fma_relu_f16(low(a), low(b), low(c)), fma_relu_f16(a >>> 16, b >>> 16, c >>> 16));
  }

  public static int neg_f16x2(int a) {
    return pair(neg_f16(low(a)), neg_f16(a >>> 16));
  }

  public static int abs_f16x2(int a) {
    return pair(abs_f16(low(a)), abs_f16(a >>> 16));
  }

  public static int ex2_f16x2(int a) {
    return pair(ex2_f16(low(a)), ex2_f16(a >>> 16));
  }

  public static int tanh_f16x2(int a) {
    return pair(tanh_f16(low(a)), tanh_f16(a >>> 16));
  }

  public static int add_bf16(int a, int b) {
    return doubleToBf16(sum(bf16ToFloat(a), bf16ToFloat(b)));
  }

  public static int sub_bf16(int a, int b) {
    return doubleToBf16(sum(bf16ToFloat(a), -bf16ToFloat(b)));
  }

  public static int mul_bf16(int a, int b) {
    return doubleToBf16((double) bf16ToFloat(a) * bf16ToFloat(b));
  }

  public static int fma_bf16(int a, int b, int c) {
    return doubleToBf16(sum((double) bf16ToFloat(a) * bf16ToFloat(b), bf16ToFloat(c)));
  }

  public static int fma_relu_bf16(int a, int b, int c) {
    return relu(fma_bf16(a, b, c), 0x7F80);
  }

  public static int neg_bf16(int a) {
    return a ^ 0x8000;
  }

  public static int abs_bf16(int a) {
    return a & 0x7FFF;
  }

  public static int min_bf16(int a, int b) {
    return floatToBf16(FloatOps.min_f32(bf16ToFloat(a), bf16ToFloat(b)));
  }

  public static int min_NaN_bf16(int a, int b) {
    return floatToBf16(Math.min(bf16ToFloat(a), bf16ToFloat(b)));
  }

  public static int max_bf16(int a, int b) {
    return floatToBf16(FloatOps.max_f32(bf16ToFloat(a), bf16ToFloat(b)));
  }

  public static int max_NaN_bf16(int a, int b) {
    return floatToBf16(Math.max(bf16ToFloat(a), bf16ToFloat(b)));
  }

  public static int ex2_bf16(int a) {
    return floatToBf16(FloatOps.ex2_f32(bf16ToFloat(a)));
  }

  public static int tanh_bf16(int a) {
    return floatToBf16(FloatOps.tanh_f32(bf16ToFloat(a)));
  }

  public static int add_bf16x2(int a, int b) {
    return pair(add_bf16(low(a), low(b)), add_bf16(a >>> 16, b >>> 16));
  }

  public static int sub_bf16x2(int a, int b) {
    return pair(sub_bf16(low(a), low(b)), sub_bf16(a >>> 16, b >>> 16));
  }

  public static int mul_bf16x2(int a, int b) {
    return pair(mul_bf16(low(a), low(b)), mul_bf16(a >>> 16, b >>> 16));
  }

  public static int min_bf16x2(int a, int b) {
    return pair(min_bf16(low(a), low(b)), min_bf16(a >>> 16, b >>> 16));
  }

  public static int max_bf16x2(int a, int b) {
    return pair(max_bf16(low(a), low(b)), max_bf16(a >>> 16, b >>> 16));
  }

  public static int min_NaN_bf16x2(int a, int b) {
    return pair(min_NaN_bf16(low(a), low(b)), min_NaN_bf16(a >>> 16, b >>> 16));
  }

  public static int max_NaN_bf16x2(int a, int b) {
    return pair(max_NaN_bf16(low(a), low(b)), max_NaN_bf16(a >>> 16, b >>> 16));
  }

  public static int fma_bf16x2(int a, int b, int c) {
    return pair(fma_bf16(low(a), low(b), low(c)), fma_bf16(a >>> 16, b >>> 16, c >>> 16));
  }

  public static int fma_relu_bf16x2(int a, int b, int c) {
    return pair(fma_relu_bf16(low(a), low(b), low(c)), fma_relu_bf16(a >>> 16, b >>> 16, c >>> 16));
  }

  public static int neg_bf16x2(int a) {
    return pair(neg_bf16(low(a)), neg_bf16(a >>> 16));
  }

  public static int abs_bf16x2(int a) {
    return pair(abs_bf16(low(a)), abs_bf16(a >>> 16));
  }

  public static int ex2_bf16x2(int a) {
    return pair(ex2_bf16(low(a)), ex2_bf16(a >>> 16));
  }

  public static int tanh_bf16x2(int a) {
    return pair(tanh_bf16(low(a)), tanh_bf16(a >>> 16));
  }
}
