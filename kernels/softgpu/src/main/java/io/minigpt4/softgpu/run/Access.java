package io.minigpt4.softgpu.run;

import io.minigpt4.softgpu.check.Fault;
import java.util.Locale;

/**
 * Checks an access and gives the host address to use: generated code calls these before {@link
 * Raw}. After a fault the address is one of scratch memory, so that the kernel can go on.
 */
public final class Access {
  /** Generic addresses of shared memory have this bit, with the offset below. */
  public static final long SHARED = 1L << 56;

  /** Generic addresses of local memory. */
  public static final long LOCAL = 2L << 56;

  /** Generic addresses of kernel parameters. */
  public static final long PARAM = 3L << 56;

  private static final long OFFSET = (1L << 56) - 1;
  private static final long WRITTEN = 0x0101010101010101L;

  private Access() {}

  public static long loadGlobal(Warp w, int lane, int site, long a, int size) {
    Cta c = w.cta;
    if (a < c.low[site] || a > c.high[site] - size || (a & (size - 1)) != 0) {
      return slow(w, lane, site, a, size, true, false);
    }
    if (c.checkInitialised && !Raw.all(a + c.shadow[site], size, WRITTEN)) {
      uninitialised(w, lane, site, a, size);
    }
    return a;
  }

  public static long storeGlobal(Warp w, int lane, int site, long a, int size) {
    Cta c = w.cta;
    if (a < c.low[site] || a > c.high[site] - size || (a & (size - 1)) != 0 || c.readOnly[site]) {
      return slow(w, lane, site, a, size, false, true);
    }
    if (c.checkInitialised) {
      Raw.set(a + c.shadow[site], size, WRITTEN);
    }
    return a;
  }

  public static long atomicGlobal(Warp w, int lane, int site, long a, int size) {
    Cta c = w.cta;
    if (a < c.low[site] || a > c.high[site] - size || (a & (size - 1)) != 0 || c.readOnly[site]) {
      return slow(w, lane, site, a, size, true, true);
    }
    if (c.checkInitialised && !Raw.all(a + c.shadow[site], size, WRITTEN)) {
      uninitialised(w, lane, site, a, size);
    }
    return a;
  }

  public static long loadShared(Warp w, int lane, int site, long off, int size) {
    return w.cta.shared.load(w, lane, site, off, size);
  }

  public static long storeShared(Warp w, int lane, int site, long off, int size) {
    return w.cta.shared.store(w, lane, site, off, size);
  }

  public static long atomicShared(Warp w, int lane, int site, long off, int size) {
    return w.cta.shared.atomic(w, lane, site, off, size);
  }

  public static long loadLocal(Warp w, int lane, int site, long off, int size) {
    Cta c = w.cta;
    if (off < 0 || off > c.localBytes - size || (off & (size - 1)) != 0) {
      return localFault(w, lane, site, off, size);
    }
    long at = (w.index * Warp.LANES + lane) * c.localStride + off;
    if (c.checkInitialised && !Raw.all(c.localShadow + at, size, WRITTEN)) {
      w.fault(Fault.Kind.UNINITIALISED, lane, site, size + " bytes at local offset " + off);
    }
    return c.localBase + at;
  }

  public static long storeLocal(Warp w, int lane, int site, long off, int size) {
    Cta c = w.cta;
    if (off < 0 || off > c.localBytes - size || (off & (size - 1)) != 0) {
      return localFault(w, lane, site, off, size);
    }
    long at = (w.index * Warp.LANES + lane) * c.localStride + off;
    if (c.checkInitialised) {
      Raw.set(c.localShadow + at, size, WRITTEN);
    }
    return c.localBase + at;
  }

  public static long atomicLocal(Warp w, int lane, int site, long off, int size) {
    loadLocal(w, lane, site, off, size);
    return storeLocal(w, lane, site, off, size);
  }

  /** Arguments of device functions: compilers copy padding that nothing wrote. */
  public static long callParam(Warp w, int lane, int site, long off, int size) {
    Cta c = w.cta;
    if (off < 0 || off > c.localBytes - size || (off & (size - 1)) != 0) {
      return localFault(w, lane, site, off, size);
    }
    return c.localBase + (w.index * Warp.LANES + lane) * c.localStride + off;
  }

  public static long loadParam(Warp w, int lane, int site, long off, int size) {
    if (off < 0 || off > w.cta.launch.kernel.paramBytes() - size || (off & (size - 1)) != 0) {
      w.fault(
          Fault.Kind.OUT_OF_BOUNDS,
          lane,
          site,
          "read of %d bytes at parameter offset %d".formatted(size, off));
      return w.cta.scratch;
    }
    return w.cta.launch.params + off;
  }

  public static long loadGeneric(Warp w, int lane, int site, long a, int size) {
    return switch ((int) (a >>> 56)) {
      case 1 -> loadShared(w, lane, site, a & OFFSET, size);
      case 2 -> loadLocal(w, lane, site, a & OFFSET, size);
      case 3 -> loadParam(w, lane, site, a & OFFSET, size);
      default -> loadGlobal(w, lane, site, a, size);
    };
  }

  public static long storeGeneric(Warp w, int lane, int site, long a, int size) {
    return switch ((int) (a >>> 56)) {
      case 1 -> storeShared(w, lane, site, a & OFFSET, size);
      case 2 -> storeLocal(w, lane, site, a & OFFSET, size);
      default -> storeGlobal(w, lane, site, a, size);
    };
  }

  public static long atomicGeneric(Warp w, int lane, int site, long a, int size) {
    return switch ((int) (a >>> 56)) {
      case 1 -> atomicShared(w, lane, site, a & OFFSET, size);
      case 2 -> atomicLocal(w, lane, site, a & OFFSET, size);
      default -> atomicGlobal(w, lane, site, a, size);
    };
  }

  /** Whether a generic address is one of global memory. */
  public static int isGlobal(long a) {
    return a >>> 56 == 0 ? 1 : 0;
  }

  /** Whether a generic address is one of shared memory. */
  public static int isShared(long a) {
    return a >>> 56 == 1 ? 1 : 0;
  }

  /** Whether a generic address is one of local memory. */
  public static int isLocal(long a) {
    return a >>> 56 == 2 ? 1 : 0;
  }

  /** The offset in its space, from a generic address. */
  public static long toSpace(long generic) {
    return generic & OFFSET;
  }

  private static long slow(
      Warp w, int lane, int site, long a, int size, boolean read, boolean write) {
    Cta c = w.cta;
    Allocation m = c.launch.memory.find(a);
    String what = read ? write ? "atomic" : "read" : "write";
    String access = String.format(Locale.ROOT, "%s of %d bytes at 0x%x", what, size, a);
    if (m == null || a > m.base() + m.size() - size) {
      w.fault(Fault.Kind.OUT_OF_BOUNDS, lane, site, access + ", " + c.launch.memory.describe(a));
      return c.scratch;
    }
    if ((a & (size - 1)) != 0) {
      w.fault(Fault.Kind.MISALIGNED, lane, site, access + " in " + m);
      return c.scratch;
    }
    if (write && m.kind() == Allocation.Kind.CONSTANT) {
      w.fault(Fault.Kind.READ_ONLY, lane, site, access + " in " + m);
      return c.scratch;
    }
    c.low[site] = m.base();
    c.high[site] = m.base() + m.size();
    c.shadow[site] = m.shadow() - m.base();
    c.readOnly[site] = m.kind() == Allocation.Kind.CONSTANT;
    if (read) {
      return write ? atomicGlobal(w, lane, site, a, size) : loadGlobal(w, lane, site, a, size);
    }
    return storeGlobal(w, lane, site, a, size);
  }

  private static void uninitialised(Warp w, int lane, int site, long a, int size) {
    Allocation m = w.cta.launch.memory.find(a);
    w.fault(
        Fault.Kind.UNINITIALISED,
        lane,
        site,
        String.format(
            Locale.ROOT,
            "%d bytes at 0x%x, offset %d in %s",
            size,
            a,
            m == null ? 0 : a - m.base(),
            m));
  }

  private static long localFault(Warp w, int lane, int site, long off, int size) {
    boolean inside = off >= 0 && off <= w.cta.localBytes - size;
    w.fault(
        inside ? Fault.Kind.MISALIGNED : Fault.Kind.OUT_OF_BOUNDS,
        lane,
        site,
        "%d bytes at local offset %d of %d".formatted(size, off, w.cta.localBytes));
    return w.cta.scratch;
  }
}
