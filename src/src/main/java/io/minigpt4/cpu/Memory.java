package io.minigpt4.cpu;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * All of native memory as one segment, addressed by raw addresses. C2 turns accesses through this
 * one constant into plain loads and stores; segments passed as parameters cost half the speed of
 * the inner loops. There are no bounds: {@link CpuOps} checks every tensor before a kernel runs,
 * and nothing outside this package sees this class.
 */
final class Memory {
  static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private Memory() {}

  static byte getByte(long address) {
    return ALL.get(ValueLayout.JAVA_BYTE, address);
  }

  static int getInt(long address) {
    return ALL.get(INT, address);
  }

  static void setLong(long address, long value) {
    ALL.set(LONG, address, value);
  }

  static float getFloat(long address) {
    return ALL.get(FLOAT, address);
  }

  static void setFloat(long address, float value) {
    ALL.set(FLOAT, address, value);
  }

  static short getShort(long address) {
    return ALL.get(SHORT, address);
  }

  static void setShort(long address, short value) {
    ALL.set(SHORT, address, value);
  }

  static void copy(long from, long to, long bytes) {
    MemorySegment.copy(ALL, from, ALL, to, bytes);
  }

  static void fill(long address, long count, float value) {
    for (long i = 0; i < count; i++) {
      setFloat(address + 4 * i, value);
    }
  }
}
