package io.minigpt4.softgpu.isa;

import java.math.BigDecimal;

/**
 * Instructions on f32 and f64, named as in {@link IntOps}. Approximate instructions give the
 * nearest float of the exact result (hardware is off by a unit or two in the last place).
 */
@SuppressWarnings("MethodName")
public final class FloatOps {
  private FloatOps() {}

  /** What {@code .ftz} does to operands and results: subnormals become zeros of their sign. */
  public static float flush(float x) {
    return Math.abs(x) < Float.MIN_NORMAL ? Math.copySign(0f, x) : x;
  }

  /** What {@code .sat} does to results: to [0, 1], NaN to 0. */
  public static float saturate(float x) {
    return x > 0 ? Math.min(x, 1f) : 0f;
  }

  public static float add_f32(float a, float b) {
    return a + b;
  }

  public static double add_f64(double a, double b) {
    return a + b;
  }

  public static float sub_f32(float a, float b) {
    return a - b;
  }

  public static double sub_f64(double a, double b) {
    return a - b;
  }

  public static float mul_f32(float a, float b) {
    return a * b;
  }

  public static double mul_f64(double a, double b) {
    return a * b;
  }

  public static float div_f32(float a, float b) {
    return a / b;
  }

  public static double div_f64(double a, double b) {
    return a / b;
  }

  public static float fma_f32(float a, float b, float c) {
    return Math.fma(a, b, c);
  }

  public static double fma_f64(double a, double b, double c) {
    return Math.fma(a, b, c);
  }

  public static float mad_f32(float a, float b, float c) {
    return Math.fma(a, b, c);
  }

  public static double mad_f64(double a, double b, double c) {
    return Math.fma(a, b, c);
  }

  public static float add_rz_f32(float a, float b) {
    return fmaDirected(a, 1f, b, 'z');
  }

  public static float add_rm_f32(float a, float b) {
    return fmaDirected(a, 1f, b, 'm');
  }

  public static float add_rp_f32(float a, float b) {
    return fmaDirected(a, 1f, b, 'p');
  }

  public static float sub_rz_f32(float a, float b) {
    return fmaDirected(a, 1f, -b, 'z');
  }

  public static float sub_rm_f32(float a, float b) {
    return fmaDirected(a, 1f, -b, 'm');
  }

  public static float sub_rp_f32(float a, float b) {
    return fmaDirected(a, 1f, -b, 'p');
  }

  public static float mul_rz_f32(float a, float b) {
    return fmaDirected(a, b, -0f, 'z');
  }

  public static float mul_rm_f32(float a, float b) {
    return fmaDirected(a, b, -0f, 'm');
  }

  public static float mul_rp_f32(float a, float b) {
    return fmaDirected(a, b, -0f, 'p');
  }

  public static float fma_rz_f32(float a, float b, float c) {
    return fmaDirected(a, b, c, 'z');
  }

  public static float fma_rm_f32(float a, float b, float c) {
    return fmaDirected(a, b, c, 'm');
  }

  public static float fma_rp_f32(float a, float b, float c) {
    return fmaDirected(a, b, c, 'p');
  }

  /** a b + c rounded towards zero (z), minus infinity (m) or plus infinity (p). */
  private static float fmaDirected(float a, float b, float c, char mode) {
    float near = Math.fma(a, b, c);
    double exactSum = (double) a * b + c;
    if (Double.isNaN(exactSum) || Double.isInfinite(exactSum)) {
      return near;
    }
    BigDecimal exact = new BigDecimal(a).multiply(new BigDecimal(b)).add(new BigDecimal(c));
    if (exact.signum() == 0) {
      return near == 0 && mode == 'm' && !(a * b == 0 && c == 0) ? -0f : near;
    }
    return directed(near, exact, mode);
  }

  /** The neighbour of {@code near} that the rounding mode asks for. */
  static float directed(float near, BigDecimal exact, char mode) {
    boolean down = mode == 'm' || (mode == 'z' && exact.signum() > 0);
    if (Float.isInfinite(near)) {
      boolean towards = near > 0 ? down : !down;
      return towards ? Math.copySign(Float.MAX_VALUE, near) : near;
    }
    int side = new BigDecimal(near).compareTo(exact);
    if (down && side > 0) {
      return Math.nextDown(near);
    }
    return !down && side < 0 ? Math.nextUp(near) : near;
  }

  public static float neg_f32(float a) {
    return -a;
  }

  public static double neg_f64(double a) {
    return -a;
  }

  public static float abs_f32(float a) {
    return Math.abs(a);
  }

  public static double abs_f64(double a) {
    return Math.abs(a);
  }

  /** The number, where one operand is NaN. */
  public static float min_f32(float a, float b) {
    return Float.isNaN(a) ? b : Float.isNaN(b) ? a : Math.min(a, b);
  }

  public static float max_f32(float a, float b) {
    return Float.isNaN(a) ? b : Float.isNaN(b) ? a : Math.max(a, b);
  }

  public static float min_NaN_f32(float a, float b) {
    return Math.min(a, b);
  }

  public static float max_NaN_f32(float a, float b) {
    return Math.max(a, b);
  }

  public static double min_f64(double a, double b) {
    return Double.isNaN(a) ? b : Double.isNaN(b) ? a : Math.min(a, b);
  }

  public static double max_f64(double a, double b) {
    return Double.isNaN(a) ? b : Double.isNaN(b) ? a : Math.max(a, b);
  }

  public static float rcp_f32(float a) {
    return 1f / a;
  }

  public static double rcp_f64(double a) {
    return 1.0 / a;
  }

  public static float sqrt_f32(float a) {
    return (float) Math.sqrt(a);
  }

  public static double sqrt_f64(double a) {
    return Math.sqrt(a);
  }

  public static float rsqrt_f32(float a) {
    return (float) (1.0 / Math.sqrt(a));
  }

  public static double rsqrt_f64(double a) {
    return 1.0 / Math.sqrt(a);
  }

  public static float sin_f32(float a) {
    return (float) Math.sin(a);
  }

  public static float cos_f32(float a) {
    return (float) Math.cos(a);
  }

  /** 2 to the power a. */
  public static float ex2_f32(float a) {
    return (float) Math.pow(2.0, a);
  }

  /** Logarithm to base 2. */
  public static float lg2_f32(float a) {
    double x = a;
    int e = Math.getExponent(x);
    if (x > 0 && x == Math.scalb(1.0, e)) {
      return e;
    }
    return (float) (Math.log(x) * 1.4426950408889634);
  }

  public static float tanh_f32(float a) {
    return (float) Math.tanh(a);
  }

  /** The magnitude of b with the sign of a. */
  public static float copysign_f32(float a, float b) {
    return Float.intBitsToFloat(
        (Float.floatToRawIntBits(a) & 0x80000000) | (Float.floatToRawIntBits(b) & 0x7FFFFFFF));
  }

  public static double copysign_f64(double a, double b) {
    return Math.copySign(b, a);
  }

  public static int testp_finite_f32(float a) {
    return Float.isFinite(a) ? 1 : 0;
  }

  public static int testp_infinite_f32(float a) {
    return Float.isInfinite(a) ? 1 : 0;
  }

  public static int testp_number_f32(float a) {
    return Float.isNaN(a) ? 0 : 1;
  }

  public static int testp_notanumber_f32(float a) {
    return Float.isNaN(a) ? 1 : 0;
  }

  public static int testp_normal_f32(float a) {
    return Float.isFinite(a) && Math.abs(a) >= Float.MIN_NORMAL ? 1 : 0;
  }

  public static int testp_subnormal_f32(float a) {
    return a != 0 && Math.abs(a) < Float.MIN_NORMAL ? 1 : 0;
  }

  public static int testp_finite_f64(double a) {
    return Double.isFinite(a) ? 1 : 0;
  }

  public static int testp_infinite_f64(double a) {
    return Double.isInfinite(a) ? 1 : 0;
  }

  public static int testp_number_f64(double a) {
    return Double.isNaN(a) ? 0 : 1;
  }

  public static int testp_notanumber_f64(double a) {
    return Double.isNaN(a) ? 1 : 0;
  }

  public static int testp_normal_f64(double a) {
    return Double.isFinite(a) && Math.abs(a) >= Double.MIN_NORMAL ? 1 : 0;
  }

  public static int testp_subnormal_f64(double a) {
    return a != 0 && Math.abs(a) < Double.MIN_NORMAL ? 1 : 0;
  }
}
