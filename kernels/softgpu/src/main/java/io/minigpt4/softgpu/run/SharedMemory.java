package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Fault;
import java.lang.foreign.Arena;

/**
 * A block's shared memory. Beside each byte stand: whether it was written, and which warp wrote and
 * which read it since the last barrier (0 none, warp + 1, {@link #SEVERAL}); beside each word the
 * instruction that wrote it.
 */
final class SharedMemory {
  private static final int SEVERAL = 0xFF;
  private static final int ATOMIC = 0xFE;
  private static final long ATOMIC_TAG = 0xFEFEFEFEFEFEFEFEL;
  private static final long WRITTEN = 0x0101010101010101L;

  final int size;
  final long data;
  private final Cta cta;
  private final long written;
  private final long writers;
  private final long readers;
  private final long writeSites;
  private final long readSites;
  private boolean touched;

  SharedMemory(Arena arena, int size, Cta cta) {
    this.size = size;
    this.cta = cta;
    long padded = ((long) size + 31) & -16L;
    data = arena.allocate(padded, 128).address();
    written = arena.allocate(padded, 16).address();
    writers = arena.allocate(padded, 16).address();
    readers = arena.allocate(padded, 16).address();
    writeSites = arena.allocate(padded, 16).address();
    readSites = arena.allocate(padded, 16).address();
  }

  /** A new block: nothing is written. */
  void reset() {
    Raw.fill(written, size, 0);
    touched = true;
    barrier();
  }

  /** Accesses before and after a barrier do not race. */
  void barrier() {
    if (touched && cta.checkRaces) {
      Raw.fill(writers, size, 0);
      Raw.fill(readers, size, 0);
    }
    touched = false;
  }

  long load(Warp w, int lane, int site, long off, int bytes) {
    if (outside(w, lane, site, off, bytes, "read")) {
      return cta.scratch;
    }
    if (cta.checkInitialised && !Raw.all(written + off, bytes, WRITTEN)) {
      w.fault(
          Fault.Kind.UNINITIALISED,
          lane,
          site,
          "%d bytes at shared offset %d".formatted(bytes, off));
    }
    if (cta.checkRaces) {
      touched = true;
      if (!Raw.all(writers + off, bytes, 0) && !Raw.all(writers + off, bytes, w.tag)) {
        other(w, lane, site, off, bytes, writers, "written");
      }
      if (!Raw.all(readers + off, bytes, w.tag)) {
        addReader(w, site, off, bytes);
      }
    }
    return data + off;
  }

  long store(Warp w, int lane, int site, long off, int bytes) {
    if (outside(w, lane, site, off, bytes, "write")) {
      return cta.scratch;
    }
    if (cta.checkInitialised) {
      Raw.set(written + off, bytes, WRITTEN);
    }
    noteWrite(w, lane, site, off, bytes, w.tag);
    return data + off;
  }

  /** An atomic read-modify-write: races with plain accesses, not with other atomics. */
  long atomic(Warp w, int lane, int site, long off, int bytes) {
    if (outside(w, lane, site, off, bytes, "atomic")) {
      return cta.scratch;
    }
    if (cta.checkInitialised && !Raw.all(written + off, bytes, WRITTEN)) {
      w.fault(
          Fault.Kind.UNINITIALISED,
          lane,
          site,
          "atomic on %d bytes at shared offset %d".formatted(bytes, off));
    }
    noteWrite(w, lane, site, off, bytes, ATOMIC_TAG);
    return data + off;
  }

  /** A copy into shared memory begins; what was there is no longer to be read. */
  void beginAsync(Warp w, int lane, int site, long off, int bytes) {
    if (outside(w, lane, site, off, bytes, "write")) {
      return;
    }
    noteWrite(w, lane, site, off, bytes, w.tag);
    Raw.set(written + off, bytes, 0);
  }

  /** The copy has arrived, for its own thread; others need a barrier from now on. */
  void endAsync(Warp w, int lane, int site, long off, int bytes) {
    noteWrite(w, lane, site, off, bytes, w.tag);
    Raw.set(written + off, bytes, WRITTEN);
  }

  boolean contains(long off, int bytes) {
    return off >= 0 && off <= size - bytes;
  }

  private void noteWrite(Warp w, int lane, int site, long off, int bytes, long tag) {
    if (!cta.checkRaces) {
      return;
    }
    touched = true;
    if (!Raw.all(writers + off, bytes, 0) && !Raw.all(writers + off, bytes, tag)) {
      other(w, lane, site, off, bytes, writers, "written");
    }
    if (!Raw.all(readers + off, bytes, 0) && !Raw.all(readers + off, bytes, w.tag)) {
      other(w, lane, site, off, bytes, readers, "read");
    }
    Raw.set(writers + off, bytes, tag);
    for (long word = off & -4; word < off + bytes; word += 4) {
      Raw.put32(writeSites + word, site);
    }
  }

  private void addReader(Warp w, int site, long off, int bytes) {
    int tag = w.index + 1;
    int first = Raw.u8(readers + off);
    if (Raw.all(readers + off, bytes, first * WRITTEN)) {
      if (first == SEVERAL) {
        return;
      }
      Raw.set(readers + off, bytes, first == 0 ? w.tag : -1L);
    } else {
      for (int i = 0; i < bytes; i++) {
        int before = Raw.u8(readers + off + i);
        Raw.put8(readers + off + i, before == 0 || before == tag ? tag : SEVERAL);
      }
    }
    for (long word = off & -4; word < off + bytes; word += 4) {
      Raw.put32(readSites + word, site);
    }
  }

  private void other(Warp w, int lane, int site, long off, int bytes, long tags, String what) {
    for (int i = 0; i < bytes; i++) {
      int tag = Raw.u8(tags + off + i);
      if (tag != 0 && tag != w.index + 1) {
        long sites = tags == writers ? writeSites : readSites;
        Kernel.Site s = cta.launch.kernel.sites().get(Raw.b32(sites + ((off + i) & -4)));
        String who =
            switch (tag) {
              case SEVERAL -> "several warps";
              case ATOMIC -> "an atomic";
              default -> "warp " + (tag - 1);
            };
        w.fault(
            Fault.Kind.SHARED_RACE,
            lane,
            site,
            "shared offset %d was %s by %s at line %d (%s), no barrier since"
                .formatted(off + i, what, who, s.line(), s.opcode()));
        return;
      }
    }
  }

  private boolean outside(Warp w, int lane, int site, long off, int bytes, String what) {
    if (off >= 0 && off <= size - bytes && (off & (bytes - 1)) == 0) {
      return false;
    }
    if (off >= 0 && off <= size - bytes) {
      w.fault(
          Fault.Kind.MISALIGNED,
          lane,
          site,
          "%s of %d bytes at shared offset %d".formatted(what, bytes, off));
    } else {
      w.fault(
          Fault.Kind.OUT_OF_BOUNDS,
          lane,
          site,
          "%s of %d bytes at shared offset %d of %d".formatted(what, bytes, off, size));
    }
    return true;
  }
}
