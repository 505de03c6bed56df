package io.minigpt4.softgpu.isa;

/**
 * Comparisons for {@code setp} and {@code set}: {@code cmp_OP_TYPE}, 1 for true. The orders with a
 * u ({@code ltu}, ...) are also true where an operand is NaN.
 */
@SuppressWarnings("MethodName")
public final class Compare {
  private Compare() {}

  private static int bit(boolean b) {
    return b ? 1 : 0;
  }

  public static int cmp_eq_b32(int a, int b) {
    return bit(a == b);
  }

  public static int cmp_ne_b32(int a, int b) {
    return bit(a != b);
  }

  public static int cmp_lt_s32(int a, int b) {
    return bit(a < b);
  }

  public static int cmp_lt_u32(int a, int b) {
    return bit(Integer.compareUnsigned(a, b) < 0);
  }

  public static int cmp_le_s32(int a, int b) {
    return bit(a <= b);
  }

  public static int cmp_le_u32(int a, int b) {
    return bit(Integer.compareUnsigned(a, b) <= 0);
  }

  public static int cmp_gt_s32(int a, int b) {
    return bit(a > b);
  }

  public static int cmp_gt_u32(int a, int b) {
    return bit(Integer.compareUnsigned(a, b) > 0);
  }

  public static int cmp_ge_s32(int a, int b) {
    return bit(a >= b);
  }

  public static int cmp_ge_u32(int a, int b) {
    return bit(Integer.compareUnsigned(a, b) >= 0);
  }

  public static int cmp_eq_b64(long a, long b) {
    return bit(a == b);
  }

  public static int cmp_ne_b64(long a, long b) {
    return bit(a != b);
  }

  public static int cmp_lt_s64(long a, long b) {
    return bit(a < b);
  }

  public static int cmp_lt_u64(long a, long b) {
    return bit(Long.compareUnsigned(a, b) < 0);
  }

  public static int cmp_le_s64(long a, long b) {
    return bit(a <= b);
  }

  public static int cmp_le_u64(long a, long b) {
    return bit(Long.compareUnsigned(a, b) <= 0);
  }

  public static int cmp_gt_s64(long a, long b) {
    return bit(a > b);
  }

  public static int cmp_gt_u64(long a, long b) {
    return bit(Long.compareUnsigned(a, b) > 0);
  }

  public static int cmp_ge_s64(long a, long b) {
    return bit(a >= b);
  }

  public static int cmp_ge_u64(long a, long b) {
    return bit(Long.compareUnsigned(a, b) >= 0);
  }

  public static int cmp_eq_f32(float a, float b) {
    return bit(a == b);
  }

  public static int cmp_ne_f32(float a, float b) {
    return bit(a < b || a > b);
  }

  public static int cmp_lt_f32(float a, float b) {
    return bit(a < b);
  }

  public static int cmp_le_f32(float a, float b) {
    return bit(a <= b);
  }

  public static int cmp_gt_f32(float a, float b) {
    return bit(a > b);
  }

  public static int cmp_ge_f32(float a, float b) {
    return bit(a >= b);
  }

  public static int cmp_equ_f32(float a, float b) {
    return bit(!(a < b || a > b));
  }

  public static int cmp_neu_f32(float a, float b) {
    return bit(!(a == b));
  }

  public static int cmp_ltu_f32(float a, float b) {
    return bit(!(a >= b));
  }

  public static int cmp_leu_f32(float a, float b) {
    return bit(!(a > b));
  }

  public static int cmp_gtu_f32(float a, float b) {
    return bit(!(a <= b));
  }

  public static int cmp_geu_f32(float a, float b) {
    return bit(!(a < b));
  }

  public static int cmp_num_f32(float a, float b) {
    return bit(!Float.isNaN(a) && !Float.isNaN(b));
  }

  public static int cmp_nan_f32(float a, float b) {
    return bit(Float.isNaN(a) || Float.isNaN(b));
  }

  public static int cmp_eq_f64(double a, double b) {
    return bit(a == b);
  }

  public static int cmp_ne_f64(double a, double b) {
    return bit(a < b || a > b);
  }

  public static int cmp_lt_f64(double a, double b) {
    return bit(a < b);
  }

  public static int cmp_le_f64(double a, double b) {
    return bit(a <= b);
  }

  public static int cmp_gt_f64(double a, double b) {
    return bit(a > b);
  }

  public static int cmp_ge_f64(double a, double b) {
    return bit(a >= b);
  }

  public static int cmp_equ_f64(double a, double b) {
    return bit(!(a < b || a > b));
  }

  public static int cmp_neu_f64(double a, double b) {
    return bit(!(a == b));
  }

  public static int cmp_ltu_f64(double a, double b) {
    return bit(!(a >= b));
  }

  public static int cmp_leu_f64(double a, double b) {
    return bit(!(a > b));
  }

  public static int cmp_gtu_f64(double a, double b) {
    return bit(!(a <= b));
  }

  public static int cmp_geu_f64(double a, double b) {
    return bit(!(a < b));
  }

  public static int cmp_num_f64(double a, double b) {
    return bit(!Double.isNaN(a) && !Double.isNaN(b));
  }

  public static int cmp_nan_f64(double a, double b) {
    return bit(Double.isNaN(a) || Double.isNaN(b));
  }
}
