package io.minigpt4.softgpu.isa;

import io.minigpt4.softgpu.run.Raw;

/**
 * Read-modify-write at checked addresses, {@code OP_TYPE}; each gives the old value. Blocks on
 * different cores see each of them as one step.
 */
@SuppressWarnings("MethodName")
public final class Atomics {
  private Atomics() {}

  private interface Step32 {
    int apply(int old);
  }

  private interface Step64 {
    long apply(long old);
  }

  private static int update(long a, Step32 f) {
    while (true) {
      int old = Raw.volatile32(a);
      if (Raw.cas32(a, old, f.apply(old))) {
        return old;
      }
    }
  }

  private static long update64(long a, Step64 f) {
    while (true) {
      long old = Raw.volatile64(a);
      if (Raw.cas64(a, old, f.apply(old))) {
        return old;
      }
    }
  }

  /** 16 bits inside their aligned word. */
  private static int update16(long a, Step32 f) {
    long word = a & -4L;
    int shift = (int) (a & 2) * 8;
    int old = update(word, x -> (x & ~(0xFFFF << shift)) | f.apply(x >>> shift & 0xFFFF) << shift);
    return old >>> shift & 0xFFFF;
  }

  public static int add_b32(long a, int v) {
    return update(a, x -> x + v);
  }

  public static long add_b64(long a, long v) {
    return update64(a, x -> x + v);
  }

  public static float add_f32(long a, float v) {
    int old = update(a, x -> Float.floatToRawIntBits(Float.intBitsToFloat(x) + v));
    return Float.intBitsToFloat(old);
  }

  public static double add_f64(long a, double v) {
    long old = update64(a, x -> Double.doubleToRawLongBits(Double.longBitsToDouble(x) + v));
    return Double.longBitsToDouble(old);
  }

  public static int add_f16(long a, int v) {
    return update16(a, x -> HalfOps.add_f16(x, v));
  }

  public static int add_bf16(long a, int v) {
    return update16(a, x -> HalfOps.add_bf16(x, v));
  }

  public static int add_f16x2(long a, int v) {
    return update(a, x -> HalfOps.add_f16x2(x, v));
  }

  public static int add_bf16x2(long a, int v) {
    return update(a, x -> HalfOps.add_bf16x2(x, v));
  }

  public static int exch_b32(long a, int v) {
    return update(a, x -> v);
  }

  public static long exch_b64(long a, long v) {
    return update64(a, x -> v);
  }

  public static int cas_b16(long a, int expected, int v) {
    return update16(a, x -> x == (expected & 0xFFFF) ? v & 0xFFFF : x);
  }

  public static int cas_b32(long a, int expected, int v) {
    return update(a, x -> x == expected ? v : x);
  }

  public static long cas_b64(long a, long expected, long v) {
    return update64(a, x -> x == expected ? v : x);
  }

  public static int and_b32(long a, int v) {
    return update(a, x -> x & v);
  }

  public static long and_b64(long a, long v) {
    return update64(a, x -> x & v);
  }

  public static int or_b32(long a, int v) {
    return update(a, x -> x | v);
  }

  public static long or_b64(long a, long v) {
    return update64(a, x -> x | v);
  }

  public static int xor_b32(long a, int v) {
    return update(a, x -> x ^ v);
  }

  public static long xor_b64(long a, long v) {
    return update64(a, x -> x ^ v);
  }

  public static int min_s32(long a, int v) {
    return update(a, x -> Math.min(x, v));
  }

  public static int max_s32(long a, int v) {
    return update(a, x -> Math.max(x, v));
  }

  public static int min_u32(long a, int v) {
    return update(a, x -> IntOps.min_u32(x, v));
  }

  public static int max_u32(long a, int v) {
    return update(a, x -> IntOps.max_u32(x, v));
  }

  public static long min_s64(long a, long v) {
    return update64(a, x -> Math.min(x, v));
  }

  public static long max_s64(long a, long v) {
    return update64(a, x -> Math.max(x, v));
  }

  public static long min_u64(long a, long v) {
    return update64(a, x -> IntOps.min_u64(x, v));
  }

  public static long max_u64(long a, long v) {
    return update64(a, x -> IntOps.max_u64(x, v));
  }

  /** Counts up to v, then starts again at 0. */
  public static int inc_u32(long a, int v) {
    return update(a, x -> Integer.compareUnsigned(x, v) >= 0 ? 0 : x + 1);
  }

  /** Counts down from v. */
  public static int dec_u32(long a, int v) {
    return update(a, x -> x == 0 || Integer.compareUnsigned(x, v) > 0 ? v : x - 1);
  }
}
