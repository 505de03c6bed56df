package io.minigpt4.softgpu.run;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * All allocations of one device. Addresses are the host's own, so a pointer that the host hands
 * over works in a kernel; each access is checked against the exact bounds. Freed memory stays in
 * quarantine for a while, so that its late use is seen.
 */
public final class DeviceMemory implements AutoCloseable {
  private static final long GAP = 256;
  private static final long QUARANTINE = 64L << 20;

  private final long capacity;
  private final TreeMap<Long, Allocation> live = new TreeMap<>();
  private final TreeMap<Long, Allocation> freed = new TreeMap<>();
  private final ArrayDeque<Allocation> quarantine = new ArrayDeque<>();
  private long quarantined;
  private long used;

  /**
   * @param capacity bytes of device memory; more than that is refused
   */
  public DeviceMemory(long capacity) {
    this.capacity = capacity;
  }

  /** Bytes that the device has. */
  public long capacity() {
    return capacity;
  }

  /** Bytes not yet allocated. */
  public synchronized long free() {
    return capacity - used;
  }

  /**
   * Makes an allocation.
   *
   * @param bytes at least 1
   * @return the allocation, aligned to 256 bytes, or null where the memory is used up
   */
  @SuppressWarnings("MustBeClosedChecker") // The allocation closes it.
  public synchronized @Nullable Allocation allocate(
      long bytes, Allocation.Kind kind, String label) {
    boolean counted = kind != Allocation.Kind.HOST;
    if (counted && bytes > capacity - used) {
      return null;
    }
    Arena arena = Arena.ofShared();
    long padded = (bytes + 15) & -16L;
    MemorySegment data = arena.allocate(padded + 2 * GAP, GAP);
    MemorySegment shadow = arena.allocate(padded, 16);
    Allocation a =
        new Allocation(data.address() + GAP, bytes, shadow.address(), kind, arena, label);
    forgetFreed(data.address(), data.address() + padded + 2 * GAP);
    live.put(a.base(), a);
    used += counted ? bytes : 0;
    return a;
  }

  /** Takes memory that the host owns into the registry, as written. */
  @SuppressWarnings("MustBeClosedChecker") // The allocation closes it.
  public synchronized Allocation register(long address, long bytes) {
    Arena arena = Arena.ofShared();
    MemorySegment shadow = arena.allocate((bytes + 15) & -16L, 16);
    shadow.fill((byte) 1);
    Allocation a =
        new Allocation(
            address, bytes, shadow.address(), Allocation.Kind.HOST, arena, "registered memory");
    live.put(address, a);
    return a;
  }

  /** Frees the allocation that starts at this address; false where none does. */
  public synchronized boolean free(long base) {
    Allocation a = live.remove(base);
    if (a == null) {
      return false;
    }
    used -= a.kind() == Allocation.Kind.HOST ? 0 : a.size();
    freed.put(base, a);
    quarantine.add(a);
    quarantined += a.size();
    while (quarantined > QUARANTINE && !quarantine.isEmpty()) {
      Allocation old = quarantine.remove();
      quarantined -= old.size();
      freed.remove(old.base(), old);
      old.close();
    }
    return true;
  }

  private void forgetFreed(long from, long to) {
    freed.subMap(from, to).clear();
  }

  /** The live allocation that holds this address, or null. */
  public synchronized @Nullable Allocation find(long address) {
    return holder(live, address);
  }

  private static @Nullable Allocation holder(NavigableMap<Long, Allocation> map, long address) {
    Map.Entry<Long, Allocation> e = map.floorEntry(address);
    if (e == null || address >= e.getValue().base() + e.getValue().size()) {
      return null;
    }
    return e.getValue();
  }

  /** Says what lies at or near an address that is in no allocation. */
  synchronized String describe(long address) {
    Allocation dead = holder(freed, address);
    if (dead != null) {
      return "in freed " + dead;
    }
    Map.Entry<Long, Allocation> below = live.floorEntry(address);
    Map.Entry<Long, Allocation> above = live.ceilingEntry(address);
    String text = "in no allocation";
    long past = Long.MAX_VALUE;
    if (below != null) {
      past = address - below.getValue().base() - below.getValue().size();
      text = past < (1L << 32) ? past + " bytes past the end of " + below.getValue() : text;
    }
    if (above != null && above.getKey() - address < Math.min(past, 1L << 32)) {
      text = (above.getKey() - address) + " bytes before " + above.getValue();
    }
    return text;
  }

  @Override
  public synchronized void close() {
    live.values().forEach(Allocation::close);
    quarantine.forEach(Allocation::close);
    live.clear();
    freed.clear();
    quarantine.clear();
    quarantined = 0;
    used = 0;
  }
}
