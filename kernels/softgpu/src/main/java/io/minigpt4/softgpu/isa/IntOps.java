package io.minigpt4.softgpu.isa;

/**
 * Integer and bit instructions. A method is named after its PTX instruction with the dots as
 * underscores; {@code b} types are those of instructions that do not care about the sign. Operands
 * of 16 bits come widened to 32 by their type.
 */
@SuppressWarnings("MethodName") // The names are the instructions'.
public final class IntOps {
  private IntOps() {}

  public static int add_b32(int a, int b) {
    return a + b;
  }

  public static long add_b64(long a, long b) {
    return a + b;
  }

  public static int sub_b32(int a, int b) {
    return a - b;
  }

  public static long sub_b64(long a, long b) {
    return a - b;
  }

  /** Saturating, for {@code add.sat.s32}. */
  public static int addsat_s32(int a, int b) {
    return Math.clamp((long) a + b, Integer.MIN_VALUE, Integer.MAX_VALUE);
  }

  /** Saturating, for {@code sub.sat.s32}. */
  public static int subsat_s32(int a, int b) {
    return Math.clamp((long) a - b, Integer.MIN_VALUE, Integer.MAX_VALUE);
  }

  public static int mul_lo_b32(int a, int b) {
    return a * b;
  }

  public static long mul_lo_b64(long a, long b) {
    return a * b;
  }

  public static int mul_hi_s32(int a, int b) {
    return (int) (((long) a * b) >> 32);
  }

  public static int mul_hi_u32(int a, int b) {
    return (int) ((Integer.toUnsignedLong(a) * Integer.toUnsignedLong(b)) >>> 32);
  }

  public static int mul_hi_s16(int a, int b) {
    return (a * b) >> 16;
  }

  public static int mul_hi_u16(int a, int b) {
    return (a * b) >>> 16;
  }

  public static long mul_hi_s64(long a, long b) {
    return Math.multiplyHigh(a, b);
  }

  public static long mul_hi_u64(long a, long b) {
    return Math.unsignedMultiplyHigh(a, b);
  }

  public static long mul_wide_s32(int a, int b) {
    return (long) a * b;
  }

  public static long mul_wide_u32(int a, int b) {
    return Integer.toUnsignedLong(a) * Integer.toUnsignedLong(b);
  }

  public static int mul_wide_s16(int a, int b) {
    return a * b;
  }

  public static int mul_wide_u16(int a, int b) {
    return a * b;
  }

  public static int mad_lo_b32(int a, int b, int c) {
    return a * b + c;
  }

  public static long mad_lo_b64(long a, long b, long c) {
    return a * b + c;
  }

  public static int mad_hi_s32(int a, int b, int c) {
    return mul_hi_s32(a, b) + c;
  }

  public static int mad_hi_u32(int a, int b, int c) {
    return mul_hi_u32(a, b) + c;
  }

  public static long mad_hi_s64(long a, long b, long c) {
    return mul_hi_s64(a, b) + c;
  }

  public static long mad_hi_u64(long a, long b, long c) {
    return mul_hi_u64(a, b) + c;
  }

  public static long mad_wide_s32(int a, int b, long c) {
    return (long) a * b + c;
  }

  public static long mad_wide_u32(int a, int b, long c) {
    return mul_wide_u32(a, b) + c;
  }

  public static int mad_wide_s16(int a, int b, int c) {
    return a * b + c;
  }

  public static int mad_wide_u16(int a, int b, int c) {
    return a * b + c;
  }

  /** The low 24 bits multiplied, the low 32 bits of the product. */
  public static int mul24_lo_s32(int a, int b) {
    return (a << 8 >> 8) * (b << 8 >> 8);
  }

  public static int mul24_lo_u32(int a, int b) {
    return (a & 0xFFFFFF) * (b & 0xFFFFFF);
  }

  public static int sad_s32(int a, int b, int c) {
    return c + (a < b ? b - a : a - b);
  }

  public static int sad_u32(int a, int b, int c) {
    return c + (Integer.compareUnsigned(a, b) < 0 ? b - a : a - b);
  }

  /** Division by zero gives all ones, as hardware does. */
  public static int div_s32(int a, int b) {
    return b == 0 ? -1 : a / b;
  }

  public static int div_u32(int a, int b) {
    return b == 0 ? -1 : Integer.divideUnsigned(a, b);
  }

  public static long div_s64(long a, long b) {
    return b == 0 ? -1 : a / b;
  }

  public static long div_u64(long a, long b) {
    return b == 0 ? -1 : Long.divideUnsigned(a, b);
  }

  public static int rem_s32(int a, int b) {
    return b == 0 ? a : a % b;
  }

  public static int rem_u32(int a, int b) {
    return b == 0 ? a : Integer.remainderUnsigned(a, b);
  }

  public static long rem_s64(long a, long b) {
    return b == 0 ? a : a % b;
  }

  public static long rem_u64(long a, long b) {
    return b == 0 ? a : Long.remainderUnsigned(a, b);
  }

  public static int abs_s32(int a) {
    return Math.abs(a);
  }

  public static long abs_s64(long a) {
    return Math.abs(a);
  }

  public static int neg_s32(int a) {
    return -a;
  }

  public static long neg_s64(long a) {
    return -a;
  }

  public static int min_s32(int a, int b) {
    return Math.min(a, b);
  }

  public static int max_s32(int a, int b) {
    return Math.max(a, b);
  }

  public static int min_u32(int a, int b) {
    return Integer.compareUnsigned(a, b) < 0 ? a : b;
  }

  public static int max_u32(int a, int b) {
    return Integer.compareUnsigned(a, b) < 0 ? b : a;
  }

  public static long min_s64(long a, long b) {
    return Math.min(a, b);
  }

  public static long max_s64(long a, long b) {
    return Math.max(a, b);
  }

  public static long min_u64(long a, long b) {
    return Long.compareUnsigned(a, b) < 0 ? a : b;
  }

  public static long max_u64(long a, long b) {
    return Long.compareUnsigned(a, b) < 0 ? b : a;
  }

  public static int and_b32(int a, int b) {
    return a & b;
  }

  public static long and_b64(long a, long b) {
    return a & b;
  }

  public static int and_pred(int a, int b) {
    return a & b;
  }

  public static int or_b32(int a, int b) {
    return a | b;
  }

  public static long or_b64(long a, long b) {
    return a | b;
  }

  public static int or_pred(int a, int b) {
    return a | b;
  }

  public static int xor_b32(int a, int b) {
    return a ^ b;
  }

  public static long xor_b64(long a, long b) {
    return a ^ b;
  }

  public static int xor_pred(int a, int b) {
    return a ^ b;
  }

  public static int not_b32(int a) {
    return ~a;
  }

  public static long not_b64(long a) {
    return ~a;
  }

  public static int not_pred(int a) {
    return a ^ 1;
  }

  public static int cnot_b32(int a) {
    return a == 0 ? 1 : 0;
  }

  public static long cnot_b64(long a) {
    return a == 0 ? 1 : 0;
  }

  /** Shifts of 32 and more give 0: PTX clamps the amount, Java takes it modulo 32. */
  public static int shl_b32(int a, int n) {
    return Integer.compareUnsigned(n, 32) < 0 ? a << n : 0;
  }

  public static long shl_b64(long a, int n) {
    return Integer.compareUnsigned(n, 64) < 0 ? a << n : 0;
  }

  public static int shr_u32(int a, int n) {
    return Integer.compareUnsigned(n, 32) < 0 ? a >>> n : 0;
  }

  public static int shr_s32(int a, int n) {
    return a >> (Integer.compareUnsigned(n, 32) < 0 ? n : 31);
  }

  public static long shr_u64(long a, int n) {
    return Integer.compareUnsigned(n, 64) < 0 ? a >>> n : 0;
  }

  public static long shr_s64(long a, int n) {
    return a >> (Integer.compareUnsigned(n, 64) < 0 ? n : 63);
  }

  public static int shf_l_wrap_b32(int a, int b, int c) {
    int n = c & 31;
    return (int) (wide(b, a) << n >>> 32);
  }

  public static int shf_l_clamp_b32(int a, int b, int c) {
    int n = min_u32(c, 32);
    return n == 32 ? a : (int) (wide(b, a) << n >>> 32);
  }

  public static int shf_r_wrap_b32(int a, int b, int c) {
    return (int) (wide(b, a) >>> (c & 31));
  }

  public static int shf_r_clamp_b32(int a, int b, int c) {
    return (int) (wide(b, a) >>> min_u32(c, 32));
  }

  private static long wide(int hi, int lo) {
    return (long) hi << 32 | Integer.toUnsignedLong(lo);
  }

  public static int bfe_u32(int a, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    long mask = n >= 32 ? 0xFFFFFFFFL : (1L << n) - 1;
    return p >= 32 ? 0 : (int) ((a >>> p) & mask);
  }

  public static int bfe_s32(int a, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    if (n == 0) {
      return 0;
    }
    // The sign is the field's top bit, or the value's where the field reaches past it.
    int sign = Math.min(p + n - 1, 31);
    int field = p >= 32 ? a >> 31 : a >> p;
    int width = sign - Math.min(p, 31) + 1;
    return width >= 32 ? field : field << (32 - width) >> (32 - width);
  }

  public static long bfe_u64(long a, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    long mask = n >= 64 ? -1L : (1L << n) - 1;
    return p >= 64 ? 0 : (a >>> p) & mask;
  }

  public static long bfe_s64(long a, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    if (n == 0) {
      return 0;
    }
    int sign = Math.min(p + n - 1, 63);
    long field = p >= 64 ? a >> 63 : a >> p;
    int width = sign - Math.min(p, 63) + 1;
    return width >= 64 ? field : field << (64 - width) >> (64 - width);
  }

  public static int bfi_b32(int a, int b, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    if (p >= 32 || n == 0) {
      return b;
    }
    int mask = (int) (n >= 32 ? 0xFFFFFFFFL : (1L << n) - 1) << p;
    return (b & ~mask) | (a << p & mask);
  }

  public static long bfi_b64(long a, long b, int pos, int len) {
    int p = pos & 0xFF;
    int n = len & 0xFF;
    if (p >= 64 || n == 0) {
      return b;
    }
    long mask = (n >= 64 ? -1L : (1L << n) - 1) << p;
    return (b & ~mask) | (a << p & mask);
  }

  public static int popc_b32(int a) {
    return Integer.bitCount(a);
  }

  public static int popc_b64(long a) {
    return Long.bitCount(a);
  }

  public static int clz_b32(int a) {
    return Integer.numberOfLeadingZeros(a);
  }

  public static int clz_b64(long a) {
    return Long.numberOfLeadingZeros(a);
  }

  public static int brev_b32(int a) {
    return Integer.reverse(a);
  }

  public static long brev_b64(long a) {
    return Long.reverse(a);
  }

  public static int bfind_u32(int a) {
    return 31 - Integer.numberOfLeadingZeros(a);
  }

  public static int bfind_s32(int a) {
    return bfind_u32(a < 0 ? ~a : a);
  }

  public static int bfind_u64(long a) {
    return 63 - Long.numberOfLeadingZeros(a);
  }

  public static int bfind_s64(long a) {
    return bfind_u64(a < 0 ? ~a : a);
  }

  public static int bfind_shiftamt_u32(int a) {
    return a == 0 ? -1 : Integer.numberOfLeadingZeros(a);
  }

  public static int bfind_shiftamt_s32(int a) {
    return bfind_shiftamt_u32(a < 0 ? ~a : a);
  }

  /** The position of the n-th set bit from a base, {@code fns.b32}; -1 where there is none. */
  public static int fns_b32(int mask, int base, int offset) {
    int step = offset < 0 ? -1 : 1;
    int left = offset == 0 ? 1 : Math.abs(offset);
    for (int i = base; i >= 0 && i < 32; i += step) {
      if ((mask >>> i & 1) != 0) {
        left--;
        if (left == 0) {
          return i;
        }
      }
      if (offset == 0) {
        return -1;
      }
    }
    return -1;
  }

  public static int lop3_b32(int a, int b, int c, int table) {
    int r = 0;
    r |= (table & 0x01) != 0 ? ~a & ~b & ~c : 0;
    r |= (table & 0x02) != 0 ? ~a & ~b & c : 0;
    r |= (table & 0x04) != 0 ? ~a & b & ~c : 0;
    r |= (table & 0x08) != 0 ? ~a & b & c : 0;
    r |= (table & 0x10) != 0 ? a & ~b & ~c : 0;
    r |= (table & 0x20) != 0 ? a & ~b & c : 0;
    r |= (table & 0x40) != 0 ? a & b & ~c : 0;
    r |= (table & 0x80) != 0 ? a & b & c : 0;
    return r;
  }

  public static int prmt_b32(int a, int b, int selector) {
    long bytes = wide(b, a);
    int r = 0;
    for (int i = 0; i < 4; i++) {
      int s = selector >>> (4 * i) & 0xF;
      int v = (int) (bytes >>> (8 * (s & 7))) & 0xFF;
      v = (s & 8) != 0 ? ((v & 0x80) != 0 ? 0xFF : 0) : v;
      r |= v << (8 * i);
    }
    return r;
  }

  /** Four products of signed bytes, and an addend. */
  public static int dp4a_s32_s32(int a, int b, int c) {
    int r = c;
    for (int i = 0; i < 4; i++) {
      r += (byte) (a >> (8 * i)) * (byte) (b >> (8 * i));
    }
    return r;
  }

  public static int dp4a_u32_u32(int a, int b, int c) {
    int r = c;
    for (int i = 0; i < 4; i++) {
      r += (a >>> (8 * i) & 0xFF) * (b >>> (8 * i) & 0xFF);
    }
    return r;
  }
}
