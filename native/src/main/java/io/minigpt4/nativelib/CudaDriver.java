package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.CudaStatus.check;
import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;

/**
 * The CUDA driver API: devices, the primary context, device memory and its stream-ordered pools,
 * pinned host memory, copies and fills. Each method is the function that its documentation names,
 * and throws {@link NativeException} when that fails. Safe for use by several threads, each of
 * which must make a context current first.
 */
public final class CudaDriver {
  private static final String LIBRARY = "the CUDA driver (libcuda)";

  // Numbers of CUdevice_attribute.
  public static final int MULTIPROCESSOR_COUNT = 16;
  public static final int MEMORY_CLOCK_KHZ = 36;
  public static final int MEMORY_BUS_BITS = 37;
  public static final int L2_CACHE_BYTES = 38;
  public static final int COMPUTE_CAPABILITY_MAJOR = 75;
  public static final int COMPUTE_CAPABILITY_MINOR = 76;
  public static final int MAX_SHARED_BYTES_PER_MULTIPROCESSOR = 81;
  public static final int MAX_SHARED_BYTES_PER_BLOCK_OPTIN = 97;
  public static final int MEMORY_POOLS_SUPPORTED = 115;

  // Numbers of CUmemPool_attribute.
  public static final int POOL_RELEASE_THRESHOLD = 4;
  public static final int POOL_RESERVED_BYTES = 5;
  public static final int POOL_USED_BYTES = 7;

  /** Flag of {@link #hostAlloc}: the memory counts as pinned in every context. */
  public static final int HOST_PORTABLE = 1;

  private final MemorySegment init;
  private final MemorySegment driverGetVersion;
  private final MemorySegment deviceGetCount;
  private final MemorySegment deviceGet;
  private final MemorySegment deviceGetName;
  private final MemorySegment deviceTotalMem;
  private final MemorySegment deviceGetAttribute;
  private final MemorySegment primaryCtxRetain;
  private final MemorySegment primaryCtxRelease;
  private final MemorySegment ctxSetCurrent;
  private final MemorySegment ctxSynchronize;
  private final MemorySegment memGetInfo;
  private final MemorySegment memAlloc;
  private final MemorySegment memFree;
  private final MemorySegment memAllocAsync;
  private final MemorySegment memFreeAsync;
  private final MemorySegment defaultMemPool;
  private final MemorySegment memPoolSetAttribute;
  private final MemorySegment memPoolGetAttribute;
  private final MemorySegment memPoolTrimTo;
  private final MemorySegment memHostAlloc;
  private final MemorySegment memFreeHost;
  private final MemorySegment copyToDevice;
  private final MemorySegment copyToHost;
  private final MemorySegment copyOnDevice;
  private final MemorySegment fillBytes;
  private final MemorySegment fillInts;

  /**
   * @param symbols the driver's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public CudaDriver(SymbolLookup symbols) {
    init = Downcalls.find(symbols, LIBRARY, "cuInit");
    driverGetVersion = Downcalls.find(symbols, LIBRARY, "cuDriverGetVersion");
    deviceGetCount = Downcalls.find(symbols, LIBRARY, "cuDeviceGetCount");
    deviceGet = Downcalls.find(symbols, LIBRARY, "cuDeviceGet");
    deviceGetName = Downcalls.find(symbols, LIBRARY, "cuDeviceGetName");
    deviceTotalMem = Downcalls.find(symbols, LIBRARY, "cuDeviceTotalMem_v2");
    deviceGetAttribute = Downcalls.find(symbols, LIBRARY, "cuDeviceGetAttribute");
    primaryCtxRetain = Downcalls.find(symbols, LIBRARY, "cuDevicePrimaryCtxRetain");
    primaryCtxRelease = Downcalls.find(symbols, LIBRARY, "cuDevicePrimaryCtxRelease_v2");
    ctxSetCurrent = Downcalls.find(symbols, LIBRARY, "cuCtxSetCurrent");
    ctxSynchronize = Downcalls.find(symbols, LIBRARY, "cuCtxSynchronize");
    memGetInfo = Downcalls.find(symbols, LIBRARY, "cuMemGetInfo_v2");
    memAlloc = Downcalls.find(symbols, LIBRARY, "cuMemAlloc_v2");
    memFree = Downcalls.find(symbols, LIBRARY, "cuMemFree_v2");
    memAllocAsync = Downcalls.find(symbols, LIBRARY, "cuMemAllocAsync");
    memFreeAsync = Downcalls.find(symbols, LIBRARY, "cuMemFreeAsync");
    defaultMemPool = Downcalls.find(symbols, LIBRARY, "cuDeviceGetDefaultMemPool");
    memPoolSetAttribute = Downcalls.find(symbols, LIBRARY, "cuMemPoolSetAttribute");
    memPoolGetAttribute = Downcalls.find(symbols, LIBRARY, "cuMemPoolGetAttribute");
    memPoolTrimTo = Downcalls.find(symbols, LIBRARY, "cuMemPoolTrimTo");
    memHostAlloc = Downcalls.find(symbols, LIBRARY, "cuMemHostAlloc");
    memFreeHost = Downcalls.find(symbols, LIBRARY, "cuMemFreeHost");
    copyToDevice = Downcalls.find(symbols, LIBRARY, "cuMemcpyHtoDAsync_v2");
    copyToHost = Downcalls.find(symbols, LIBRARY, "cuMemcpyDtoHAsync_v2");
    copyOnDevice = Downcalls.find(symbols, LIBRARY, "cuMemcpyDtoDAsync_v2");
    fillBytes = Downcalls.find(symbols, LIBRARY, "cuMemsetD8Async");
    fillInts = Downcalls.find(symbols, LIBRARY, "cuMemsetD32Async");
  }

  /** {@code cuInit}: must come before anything else. */
  public void init() {
    check("cuInit", call(init, 0));
  }

  /**
   * {@code cuDriverGetVersion}: the newest CUDA that the driver serves, 1000 · major + 10 · minor.
   */
  public int version() {
    try (Out out = new Out()) {
      check("cuDriverGetVersion", call(driverGetVersion, out.address()));
      return out.asInt();
    }
  }

  /** {@code cuDeviceGetCount}. */
  public int deviceCount() {
    try (Out out = new Out()) {
      check("cuDeviceGetCount", call(deviceGetCount, out.address()));
      return out.asInt();
    }
  }

  /**
   * {@code cuDeviceGet}: the device's handle.
   *
   * @param ordinal 0 to {@link #deviceCount} − 1
   */
  public int device(int ordinal) {
    try (Out out = new Out()) {
      check("cuDeviceGet", call(deviceGet, out.address(), ordinal));
      return out.asInt();
    }
  }

  /** {@code cuDeviceGetName}. */
  public String deviceName(int device) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocate(256);
      int length = (int) name.byteSize();
      check("cuDeviceGetName", call(deviceGetName, name.address(), length, device));
      return name.getString(0);
    }
  }

  /** {@code cuDeviceTotalMem}: bytes. */
  public long deviceMemory(int device) {
    try (Out out = new Out()) {
      check("cuDeviceTotalMem_v2", call(deviceTotalMem, out.address(), device));
      return out.asLong();
    }
  }

  /** {@code cuDeviceGetAttribute}, such as {@link #MULTIPROCESSOR_COUNT}. */
  public int deviceAttribute(int attribute, int device) {
    try (Out out = new Out()) {
      int status = call(deviceGetAttribute, out.address(), attribute, device);
      check("cuDeviceGetAttribute", status);
      return out.asInt();
    }
  }

  /** {@code cuDevicePrimaryCtxRetain}: the context's handle. */
  public long retainPrimaryContext(int device) {
    try (Out out = new Out()) {
      check("cuDevicePrimaryCtxRetain", call(primaryCtxRetain, out.address(), device));
      return out.asLong();
    }
  }

  /** {@code cuDevicePrimaryCtxRelease}. */
  public void releasePrimaryContext(int device) {
    check("cuDevicePrimaryCtxRelease_v2", call(primaryCtxRelease, device));
  }

  /** {@code cuCtxSetCurrent}, for the calling thread. */
  public void setCurrentContext(long context) {
    check("cuCtxSetCurrent", call(ctxSetCurrent, context));
  }

  /** {@code cuCtxSynchronize}: waits for all work of the context. */
  public void synchronize() {
    check("cuCtxSynchronize", call(ctxSynchronize));
  }

  /**
   * Memory of the current context's device, in bytes.
   *
   * @param free what can be allocated
   * @param total what there is
   */
  public record MemoryInfo(long free, long total) {}

  /** {@code cuMemGetInfo}. */
  public MemoryInfo memoryInfo() {
    try (Out free = new Out();
        Out total = new Out()) {
      check("cuMemGetInfo_v2", call(memGetInfo, free.address(), total.address()));
      return new MemoryInfo(free.asLong(), total.asLong());
    }
  }

  /** {@code cuMemAlloc}: the address of so many bytes on the device. */
  public long alloc(long bytes) {
    try (Out out = new Out()) {
      check("cuMemAlloc_v2", call(memAlloc, out.address(), bytes));
      return out.asLong();
    }
  }

  /** {@code cuMemFree}. */
  public void free(long address) {
    check("cuMemFree_v2", call(memFree, address));
  }

  /**
   * {@code cuMemAllocAsync}: from the device's current pool, usable by later work of the stream.
   */
  public long allocAsync(long bytes, long stream) {
    try (Out out = new Out()) {
      check("cuMemAllocAsync", call(memAllocAsync, out.address(), bytes, stream));
      return out.asLong();
    }
  }

  /** {@code cuMemFreeAsync}: when earlier work of the stream is done. */
  public void freeAsync(long address, long stream) {
    check("cuMemFreeAsync", call(memFreeAsync, address, stream));
  }

  /** {@code cuDeviceGetDefaultMemPool}. */
  public long defaultMemoryPool(int device) {
    try (Out out = new Out()) {
      check("cuDeviceGetDefaultMemPool", call(defaultMemPool, out.address(), device));
      return out.asLong();
    }
  }

  /** {@code cuMemPoolSetAttribute}, such as {@link #POOL_RELEASE_THRESHOLD}. */
  public void setPoolAttribute(long pool, int attribute, long value) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocateFrom(ValueLayout.JAVA_LONG, value);
      int status = call(memPoolSetAttribute, pool, attribute, memory.address());
      check("cuMemPoolSetAttribute", status);
    }
  }

  /** {@code cuMemPoolGetAttribute}, such as {@link #POOL_USED_BYTES}. */
  public long poolAttribute(long pool, int attribute) {
    try (Out out = new Out()) {
      check("cuMemPoolGetAttribute", call(memPoolGetAttribute, pool, attribute, out.address()));
      return out.asLong();
    }
  }

  /** {@code cuMemPoolTrimTo}: gives unused memory back until so many bytes are left. */
  public void trimPool(long pool, long bytesToKeep) {
    check("cuMemPoolTrimTo", call(memPoolTrimTo, pool, bytesToKeep));
  }

  /**
   * {@code cuMemHostAlloc}: pinned memory of the host, which copies at full speed and
   * asynchronously.
   *
   * @param flags 0 or {@link #HOST_PORTABLE}
   * @return the memory; {@link #hostFree} frees it, not an arena
   */
  public MemorySegment hostAlloc(long bytes, int flags) {
    try (Out out = new Out()) {
      check("cuMemHostAlloc", call(memHostAlloc, out.address(), bytes, flags));
      return MemorySegment.ofAddress(out.asLong()).reinterpret(bytes);
    }
  }

  /** {@code cuMemFreeHost}: the memory must not be used any more. */
  public void hostFree(MemorySegment memory) {
    check("cuMemFreeHost", call(memFreeHost, memory.address()));
  }

  /**
   * {@code cuMemcpyHtoDAsync}. From pinned memory it returns at once, and the memory must stay as
   * it is until the stream has done it.
   *
   * @param from native memory, all of which is copied
   */
  public void copyToDevice(long to, MemorySegment from, long stream) {
    int status = call(copyToDevice, to, nativeAddress(from), from.byteSize(), stream);
    check("cuMemcpyHtoDAsync_v2", status);
  }

  /**
   * {@code cuMemcpyDtoHAsync}.
   *
   * @param to native memory, all of which is written
   */
  public void copyToHost(MemorySegment to, long from, long stream) {
    int status = call(copyToHost, nativeAddress(to), from, to.byteSize(), stream);
    check("cuMemcpyDtoHAsync_v2", status);
  }

  /** {@code cuMemcpyDtoDAsync}. */
  public void copyOnDevice(long to, long from, long bytes, long stream) {
    check("cuMemcpyDtoDAsync_v2", call(copyOnDevice, to, from, bytes, stream));
  }

  /** {@code cuMemsetD8Async}: so many bytes. */
  public void fill(long to, byte value, long bytes, long stream) {
    check("cuMemsetD8Async", call(fillBytes, to, value, bytes, stream));
  }

  /** {@code cuMemsetD32Async}: so many times four bytes. */
  public void fill(long to, int value, long count, long stream) {
    check("cuMemsetD32Async", call(fillInts, to, value, count, stream));
  }

  private static long nativeAddress(MemorySegment memory) {
    if (!memory.isNative()) {
      throw new IllegalArgumentException("a heap segment has no address that a device can copy");
    }
    return memory.address();
  }
}
