package io.minigpt4.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** A native buffer that grows to the largest size asked for; its content does not survive that. */
final class Scratch implements AutoCloseable {
  private static final long ALIGNMENT = 64;

  private Arena arena = Arena.ofShared();
  private MemorySegment memory = MemorySegment.NULL;

  /** Address of at least {@code floats} floats, aligned to 64 bytes. */
  @SuppressWarnings("MustBeClosedChecker") // Kept in a field and closed by close().
  long floats(long floats) {
    long bytes = Math.multiplyExact(floats, Float.BYTES);
    if (memory.byteSize() < bytes) {
      arena.close();
      arena = Arena.ofShared();
      memory = arena.allocate(bytes + bytes / 4, ALIGNMENT);
    }
    return memory.address();
  }

  static Scratch[] array(int n) {
    Scratch[] all = new Scratch[n];
    for (int i = 0; i < n; i++) {
      all[i] = new Scratch();
    }
    return all;
  }

  @Override
  public void close() {
    arena.close();
  }
}
