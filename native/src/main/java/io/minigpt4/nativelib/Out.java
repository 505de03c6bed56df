package io.minigpt4.nativelib;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Eight bytes of memory that a C function writes a result to. Not for the hot path. */
final class Out implements AutoCloseable {
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment memory = arena.allocate(ValueLayout.JAVA_LONG);

  long address() {
    return memory.address();
  }

  int asInt() {
    return memory.get(ValueLayout.JAVA_INT, 0);
  }

  long asLong() {
    return memory.get(ValueLayout.JAVA_LONG, 0);
  }

  float asFloat() {
    return memory.get(ValueLayout.JAVA_FLOAT, 0);
  }

  @Override
  public void close() {
    arena.close();
  }
}
