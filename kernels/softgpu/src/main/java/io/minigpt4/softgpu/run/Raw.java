package io.minigpt4.softgpu.run;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;

/**
 * Reads and writes at plain addresses, without any check: callers have checked. Generated code
 * calls these after {@link Access}.
 */
public final class Raw {
  private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);
  private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle();
  private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();
  private static final ValueLayout.OfByte B = ValueLayout.JAVA_BYTE;
  private static final ValueLayout.OfShort S = ValueLayout.JAVA_SHORT_UNALIGNED;
  private static final ValueLayout.OfInt I = ValueLayout.JAVA_INT_UNALIGNED;
  private static final ValueLayout.OfLong L = ValueLayout.JAVA_LONG_UNALIGNED;

  private Raw() {}

  /** Unsigned byte. */
  public static int u8(long a) {
    return ALL.get(B, a) & 0xFF;
  }

  /** Signed byte. */
  public static int s8(long a) {
    return ALL.get(B, a);
  }

  /** Unsigned 16 bits. */
  public static int u16(long a) {
    return ALL.get(S, a) & 0xFFFF;
  }

  /** Signed 16 bits. */
  public static int s16(long a) {
    return ALL.get(S, a);
  }

  public static int b32(long a) {
    return ALL.get(I, a);
  }

  public static long b64(long a) {
    return ALL.get(L, a);
  }

  public static void put8(long a, int v) {
    ALL.set(B, a, (byte) v);
  }

  public static void put16(long a, int v) {
    ALL.set(S, a, (short) v);
  }

  public static void put32(long a, int v) {
    ALL.set(I, a, v);
  }

  public static void put64(long a, long v) {
    ALL.set(L, a, v);
  }

  public static boolean cas32(long a, int expected, int v) {
    return INT.compareAndSet(ALL, a, expected, v);
  }

  public static boolean cas64(long a, long expected, long v) {
    return LONG.compareAndSet(ALL, a, expected, v);
  }

  public static int volatile32(long a) {
    return (int) INT.getVolatile(ALL, a);
  }

  public static long volatile64(long a) {
    return (long) LONG.getVolatile(ALL, a);
  }

  /** Copies bytes; the ranges may overlap. */
  public static void copy(long from, long to, long bytes) {
    MemorySegment.copy(ALL, from, ALL, to, bytes);
  }

  /** Sets bytes. */
  public static void fill(long a, long bytes, int value) {
    ALL.asSlice(a, bytes).fill((byte) value);
  }

  /** Whether {@code size} (1, 2, 4, 8 or 16) bytes all equal the low byte of {@code pattern}. */
  static boolean all(long a, int size, long pattern) {
    return switch (size) {
      case 1 -> u8(a) == (int) (pattern & 0xFF);
      case 2 -> u16(a) == (int) (pattern & 0xFFFF);
      case 4 -> b32(a) == (int) pattern;
      case 8 -> b64(a) == pattern;
      default -> b64(a) == pattern && b64(a + 8) == pattern;
    };
  }

  /** Sets {@code size} (1, 2, 4, 8 or 16) bytes to a pattern of equal bytes. */
  static void set(long a, int size, long pattern) {
    switch (size) {
      case 1 -> put8(a, (int) pattern);
      case 2 -> put16(a, (int) pattern);
      case 4 -> put32(a, (int) pattern);
      case 8 -> put64(a, pattern);
      default -> {
        put64(a, pattern);
        put64(a + 8, pattern);
      }
    }
  }
}
