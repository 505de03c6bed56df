package io.minigpt4.softgpu.run;

import java.lang.foreign.Arena;
import org.jspecify.annotations.Nullable;

/** One piece of memory that kernels may use, with a shadow byte for each byte: 1 once written. */
public final class Allocation {
  /** Who made it. */
  public enum Kind {
    DEVICE,
    HOST,
    MODULE,
    CONSTANT
  }

  private final long base;
  private final long size;
  private final long shadow;
  private final Kind kind;
  private final @Nullable Arena arena;
  private final String label;

  Allocation(long base, long size, long shadow, Kind kind, @Nullable Arena arena, String label) {
    this.base = base;
    this.size = size;
    this.shadow = shadow;
    this.kind = kind;
    this.arena = arena;
    this.label = label;
  }

  /** Address of the first byte. */
  public long base() {
    return base;
  }

  /** Bytes asked for. */
  public long size() {
    return size;
  }

  /** Address of the shadow bytes. */
  long shadow() {
    return shadow;
  }

  public Kind kind() {
    return kind;
  }

  void close() {
    if (arena != null) {
      arena.close();
    }
  }

  /** Notes that bytes have been written. */
  public void markWritten(long address, long bytes) {
    if (bytes > 0) {
      Raw.fill(shadow + (address - base), bytes, 1);
    }
  }

  /** Notes for a copy which of its bytes have been written. */
  public void copyWritten(long from, Allocation target, long to, long bytes) {
    Raw.copy(shadow + (from - base), target.shadow + (to - target.base), bytes);
  }

  /** Whether all these bytes have been written. */
  public boolean isWritten(long address, long bytes) {
    long at = shadow + (address - base);
    for (long i = 0; i < bytes; i++) {
      if (Raw.u8(at + i) == 0) {
        return false;
      }
    }
    return true;
  }

  @Override
  public String toString() {
    return "%s of %d bytes at 0x%x".formatted(label, size, base);
  }
}
