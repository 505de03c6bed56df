package io.minigpt4.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Memory outside the heap for weights and caches. An arena's own memory is direct memory to the
 * virtual machine, of which it gives out no more than the heap may grow to: by default a quarter of
 * what the machine has. This is the C library's, and has no such limit.
 */
public final class LargeMemory {
  private static final long ALIGNMENT = 64;

  /** Bytes that may become garbage before the collector, which does not see them, is called. */
  private static final long UNSEEN = Math.min(1L << 30, Runtime.getRuntime().maxMemory());

  private static final AtomicLong since = new AtomicLong();
  private static final MethodHandle CALLOC =
      function(
          "calloc",
          FunctionDescriptor.of(
              ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG));
  private static final MethodHandle FREE =
      function("free", FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG));

  private LargeMemory() {}

  private static MethodHandle function(String name, FunctionDescriptor type) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type);
  }

  /**
   * Zeros, aligned to 64 bytes.
   *
   * @param bytes how many, from 0 on
   * @param arena frees them when it is closed
   * @throws UserException if the machine has no more
   */
  public static MemorySegment allocate(long bytes, Arena arena) {
    long address = calloc(bytes + ALIGNMENT);
    if (address == 0) {
      throw new UserException(
          "this machine has no more memory: " + ByteCounts.text(bytes) + " more were needed");
    }
    long aligned = (address + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return MemorySegment.ofAddress(aligned).reinterpret(bytes, arena, unused -> free(address));
  }

  /**
   * Zeros, aligned to 64 bytes, that are freed some time after nobody refers to them any more.
   *
   * @param bytes how many, from 0 on
   * @throws UserException if the machine has no more
   */
  public static MemorySegment automatic(long bytes) {
    if (since.addAndGet(bytes) > UNSEEN) {
      since.set(0);
      System.gc();
    }
    return allocate(bytes, Arena.ofAuto());
  }

  private static long calloc(long bytes) {
    try {
      return (long) CALLOC.invokeExact(1L, bytes);
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  private static void free(long address) {
    try {
      FREE.invokeExact(address);
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }
}
