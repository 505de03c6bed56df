package io.minigpt4.softgpu.driver;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;

/** Reads and writes at addresses that a C caller gave; null is refused. */
final class Native {
  private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  private Native() {}

  private static long checked(long address) {
    if (address == 0) {
      throw new Status(Status.INVALID_VALUE, "a pointer is null");
    }
    return address;
  }

  static int getInt(long address) {
    return ALL.get(ValueLayout.JAVA_INT_UNALIGNED, checked(address));
  }

  static long getLong(long address) {
    return ALL.get(ValueLayout.JAVA_LONG_UNALIGNED, checked(address));
  }

  static float getFloat(long address) {
    return ALL.get(ValueLayout.JAVA_FLOAT_UNALIGNED, checked(address));
  }

  static void putInt(long address, int v) {
    ALL.set(ValueLayout.JAVA_INT_UNALIGNED, checked(address), v);
  }

  static void putLong(long address, long v) {
    ALL.set(ValueLayout.JAVA_LONG_UNALIGNED, checked(address), v);
  }

  static void putFloat(long address, float v) {
    ALL.set(ValueLayout.JAVA_FLOAT_UNALIGNED, checked(address), v);
  }

  /** Writes text and its NUL, cut to {@code room} bytes. */
  static void putString(long address, String text, int room) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    int n = Math.min(bytes.length, room - 1);
    MemorySegment.copy(bytes, 0, ALL, ValueLayout.JAVA_BYTE, checked(address), n);
    ALL.set(ValueLayout.JAVA_BYTE, address + n, (byte) 0);
  }

  static String getString(long address) {
    return ALL.getString(checked(address));
  }

  static MemorySegment at(long address, long bytes) {
    return MemorySegment.ofAddress(checked(address)).reinterpret(bytes);
  }
}
