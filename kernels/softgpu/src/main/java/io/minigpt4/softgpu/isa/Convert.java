package io.minigpt4.softgpu.isa;

import java.math.BigDecimal;
import java.math.BigInteger;

/** The parts that {@code cvt} is put together from. */
public final class Convert {
  private Convert() {}

  /** Rounds to an integer: 'i' nearest even, 'z' towards zero, 'm' down, 'p' up. */
  public static double integral(double x, int mode) {
    return switch (mode) {
      case 'i' -> Math.rint(x);
      case 'm' -> Math.floor(x);
      case 'p' -> Math.ceil(x);
      default -> x < 0 ? Math.ceil(x) : Math.floor(x);
    };
  }

  /**
   * An integral double as a signed integer of {@code bits} bits, clamped; NaN gives 0.
   *
   * @param bits 8, 16, 32 or 64
   */
  public static long toSigned(double x, int bits) {
    if (bits == 64) {
      return (long) x;
    }
    long top = (1L << (bits - 1)) - 1;
    return Math.clamp((long) x, -top - 1, top);
  }

  /** An integral double as an unsigned integer of {@code bits} bits, clamped; NaN gives 0. */
  public static long toUnsigned(double x, int bits) {
    if (!(x > 0)) {
      return 0;
    }
    if (bits < 64) {
      return Math.min((long) x, (1L << bits) - 1);
    }
    if (x < 0x1p63) {
      return (long) x;
    }
    return x >= 0x1p64 ? -1L : (long) (x - 0x1p63) ^ Long.MIN_VALUE;
  }

  /** What 64-bit conversions make of NaN: only the top bit. */
  public static long nanTo(double x, long converted, int bits) {
    return Double.isNaN(x) ? 1L << (bits - 1) : converted;
  }

  /** Nearest double of an unsigned 64-bit integer. */
  public static double unsignedToDouble(long x) {
    if (x >= 0) {
      return x;
    }
    // The lowest bit stands for all that are shifted out, so that the rounding is the same.
    return (double) (x >>> 1 | (x & 1)) * 2.0;
  }

  /** Nearest float of an unsigned 64-bit integer. */
  public static float unsignedToFloat(long x) {
    return x >= 0 ? (float) x : (float) (x >>> 1 | (x & 1)) * 2f;
  }

  /** A float of an integer, rounded as {@code mode} says: 'n', 'z', 'm' or 'p'. */
  public static float longToFloat(long x, int unsigned, int mode) {
    float near = unsigned != 0 ? unsignedToFloat(x) : (float) x;
    if (mode == 'n') {
      return near;
    }
    BigInteger exact = BigInteger.valueOf(x);
    if (unsigned != 0 && x < 0) {
      exact = exact.add(BigInteger.ONE.shiftLeft(64));
    }
    return exact.signum() == 0 ? near : FloatOps.directed(near, new BigDecimal(exact), (char) mode);
  }

  /** A float of a double, rounded as {@code mode} says. */
  public static float doubleToFloat(double x, int mode) {
    float near = (float) x;
    if (mode == 'n' || Double.isNaN(x) || Double.isInfinite(x) || x == near) {
      return near;
    }
    return FloatOps.directed(near, new BigDecimal(x), (char) mode);
  }

  /** Bits of an f16 of a double, rounded to nearest even ('n') or towards zero ('z'). */
  public static int toF16(double x, int mode) {
    int near = HalfOps.doubleToF16(x);
    return mode == 'z' ? towardsZero(near, x, HalfOps.f16ToFloat(near)) : near;
  }

  /** Bits of a bf16 of a double, rounded to nearest even ('n') or towards zero ('z'). */
  public static int toBf16(double x, int mode) {
    int near = HalfOps.doubleToBf16(x);
    return mode == 'z' ? towardsZero(near, x, HalfOps.bf16ToFloat(near)) : near;
  }

  private static int towardsZero(int bits, double x, float rounded) {
    boolean beyond = Math.abs((double) rounded) > Math.abs(x);
    return beyond ? bits - 1 : bits;
  }

  /** {@code cvt.rna.tf32.f32}: 10 bits of mantissa, ties away from zero. */
  public static int toTf32(float x) {
    int b = Float.floatToRawIntBits(x);
    return Float.isNaN(x) || Float.isInfinite(x) ? b : (b + 0x1000) & ~0x1FFF;
  }

  /** Clamps an integer to a narrower type, for {@code cvt.sat}. */
  public static long clamp(long x, int fromUnsigned, int bits, int unsigned) {
    long lo = unsigned != 0 ? 0 : bits == 64 ? Long.MIN_VALUE : -(1L << (bits - 1));
    long hi = bits - (1 - unsigned) >= 63 ? Long.MAX_VALUE : (1L << (bits - 1 + unsigned)) - 1;
    if (fromUnsigned != 0 && x < 0) {
      return bits == 64 && unsigned != 0 ? x : hi;
    }
    return Math.clamp(x, lo, hi);
  }

  /** Zero for negative numbers; NaN stays. */
  public static double relu(double x) {
    return x < 0 || x == 0 ? 0.0 : x;
  }

  /** To [0, 1]; NaN to 0. */
  public static double saturate(double x) {
    return x > 0 ? Math.min(x, 1.0) : 0.0;
  }

  /** A value of which only the sign-keeping zero is left where it is subnormal as a float. */
  public static double flush(double x) {
    return FloatOps.flush((float) x) == 0 ? Math.copySign(0.0, x) : x;
  }
}
