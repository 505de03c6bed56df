package io.minigpt4.nativelib;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A driver with one device, whose memory is the host's and whose work is done at once, or recorded
 * while a stream is captured. It knows one kernel: {@code axpy(n, a, x, y)}, y = a·x + y. The
 * methods are the C functions, with pointers and handles as longs.
 */
@SuppressWarnings({"MethodName", "UnusedMethod"})
final class FakeDriver {
  static final long TOTAL = 1L << 20;
  static final long CONTEXT = 0x1111;
  static final long POOL = 0x2222;
  static final long MODULE = 0x3333;
  static final long AXPY = 0x4444;

  private static final int OK = 0;
  private static final int INVALID_VALUE = 1;
  private static final int OUT_OF_MEMORY = 2;
  private static final int NOT_INITIALIZED = 3;
  private static final int INVALID_DEVICE = 101;
  private static final int INVALID_HANDLE = 400;

  private final Arena arena = Arena.ofAuto();
  private final Map<Long, MemorySegment> memory = new HashMap<>();
  private final Map<Long, List<Runnable>> graphs = new HashMap<>();
  private final Map<Integer, Long> poolAttributes = new HashMap<>();
  private final List<String> calls = new ArrayList<>();
  private List<Runnable> captured = new ArrayList<>();
  private boolean capturing;
  private boolean initialised;
  private long used;
  private long nextHandle = 0x9000;
  private int attribute;
  private int clock;

  /** What {@code cuStreamQuery} returns. */
  int queryStatus;

  /** What a launch was called with. */
  List<Integer> lastLaunch = List.of();

  /** The calls that name no result, in order. */
  List<String> calls() {
    return calls;
  }

  private long handle() {
    return nextHandle++;
  }

  private int work(Runnable work) {
    if (capturing) {
      captured.add(work);
    } else {
      work.run();
    }
    return OK;
  }

  int cuInit(int flags) {
    initialised = true;
    return flags == 0 ? OK : INVALID_VALUE;
  }

  int cuDriverGetVersion(long out) {
    Stubs.putInt(out, 12040);
    return OK;
  }

  int cuDeviceGetCount(long out) {
    Stubs.putInt(out, 1);
    return initialised ? OK : NOT_INITIALIZED;
  }

  int cuDeviceGet(long out, int ordinal) {
    Stubs.putInt(out, 7);
    return ordinal == 0 ? OK : INVALID_DEVICE;
  }

  int cuDeviceGetName(long out, int length, int device) {
    Stubs.putString(out, "Fake GPU " + length);
    return device == 7 ? OK : INVALID_DEVICE;
  }

  int cuDeviceTotalMem_v2(long out, int device) {
    Stubs.putLong(out, TOTAL);
    return device == 7 ? OK : INVALID_DEVICE;
  }

  int cuDeviceGetAttribute(long out, int attribute, int device) {
    Stubs.putInt(out, 1000 + attribute);
    return device == 7 ? OK : INVALID_DEVICE;
  }

  int cuDevicePrimaryCtxRetain(long out, int device) {
    Stubs.putLong(out, CONTEXT);
    return device == 7 ? OK : INVALID_DEVICE;
  }

  int cuDevicePrimaryCtxRelease_v2(int device) {
    calls.add("release " + device);
    return OK;
  }

  int cuCtxSetCurrent(long context) {
    calls.add("current " + Long.toHexString(context));
    return context == CONTEXT ? OK : INVALID_VALUE;
  }

  int cuCtxSynchronize() {
    calls.add("synchronize");
    return OK;
  }

  int cuMemGetInfo_v2(long free, long total) {
    Stubs.putLong(free, TOTAL - used);
    Stubs.putLong(total, TOTAL);
    return OK;
  }

  int cuMemAlloc_v2(long out, long bytes) {
    if (bytes > TOTAL - used) {
      return OUT_OF_MEMORY;
    }
    MemorySegment segment = arena.allocate(bytes, 256);
    memory.put(segment.address(), segment);
    used += bytes;
    Stubs.putLong(out, segment.address());
    return OK;
  }

  int cuMemFree_v2(long address) {
    MemorySegment segment = memory.remove(address);
    if (segment == null) {
      return INVALID_VALUE;
    }
    used -= segment.byteSize();
    return OK;
  }

  int cuMemAllocAsync(long out, long bytes, long stream) {
    calls.add("alloc in " + stream);
    return cuMemAlloc_v2(out, bytes);
  }

  int cuMemFreeAsync(long address, long stream) {
    calls.add("free in " + stream);
    return cuMemFree_v2(address);
  }

  int cuDeviceGetDefaultMemPool(long out, int device) {
    Stubs.putLong(out, POOL);
    return device == 7 ? OK : INVALID_DEVICE;
  }

  int cuMemPoolSetAttribute(long pool, int attribute, long value) {
    poolAttributes.put(attribute, Stubs.getLong(value));
    return pool == POOL ? OK : INVALID_HANDLE;
  }

  int cuMemPoolGetAttribute(long pool, int attribute, long value) {
    Stubs.putLong(value, poolAttributes.getOrDefault(attribute, 0L));
    return pool == POOL ? OK : INVALID_HANDLE;
  }

  int cuMemPoolTrimTo(long pool, long bytes) {
    calls.add("trim to " + bytes);
    return pool == POOL ? OK : INVALID_HANDLE;
  }

  int cuMemHostAlloc(long out, long bytes, int flags) {
    calls.add("pin " + flags);
    return cuMemAlloc_v2(out, bytes);
  }

  int cuMemFreeHost(long address) {
    return cuMemFree_v2(address);
  }

  int cuMemcpyHtoDAsync_v2(long to, long from, long bytes, long stream) {
    return copy(to, from, bytes, stream);
  }

  int cuMemcpyDtoHAsync_v2(long to, long from, long bytes, long stream) {
    return copy(to, from, bytes, stream);
  }

  int cuMemcpyDtoDAsync_v2(long to, long from, long bytes, long stream) {
    return copy(to, from, bytes, stream);
  }

  private int copy(long to, long from, long bytes, long stream) {
    calls.add("copy in " + stream);
    return work(() -> Stubs.at(to, bytes).copyFrom(Stubs.at(from, bytes)));
  }

  int cuMemsetD8Async(long to, byte value, long bytes, long stream) {
    calls.add("fill in " + stream);
    return work(() -> Stubs.at(to, bytes).fill(value));
  }

  int cuMemsetD32Async(long to, int value, long count, long stream) {
    calls.add("fill in " + stream);
    return work(
        () -> {
          for (long i = 0; i < count; i++) {
            Stubs.putInt(to + 4 * i, value);
          }
        });
  }

  int cuStreamCreate(long out, int flags) {
    Stubs.putLong(out, flags == 1 ? 0x51 : 0x50);
    return OK;
  }

  int cuStreamDestroy_v2(long stream) {
    calls.add("destroy stream " + stream);
    return OK;
  }

  int cuStreamSynchronize(long stream) {
    calls.add("synchronize stream " + stream);
    return OK;
  }

  int cuStreamQuery(long stream) {
    return stream == 0x51 ? queryStatus : INVALID_HANDLE;
  }

  int cuStreamWaitEvent(long stream, long event, int flags) {
    calls.add("stream " + stream + " waits for " + event + " flags " + flags);
    return OK;
  }

  int cuEventCreate(long out, int flags) {
    Stubs.putLong(out, 0x60 + flags);
    return OK;
  }

  int cuEventDestroy_v2(long event) {
    calls.add("destroy event " + event);
    return OK;
  }

  int cuEventRecord(long event, long stream) {
    calls.add("record " + event + " in " + stream);
    clock++;
    return OK;
  }

  int cuEventSynchronize(long event) {
    calls.add("synchronize event " + event);
    return OK;
  }

  int cuEventElapsedTime(long out, long start, long end) {
    Stubs.putFloat(out, clock + (end - start) / 4f);
    return OK;
  }

  int cuStreamBeginCapture_v2(long stream, int mode) {
    capturing = true;
    captured = new ArrayList<>();
    return mode == 1 && stream != 0 ? OK : INVALID_VALUE;
  }

  int cuStreamEndCapture(long stream, long out) {
    capturing = false;
    long graph = handle();
    graphs.put(graph, captured);
    Stubs.putLong(out, graph);
    return stream == 0 ? INVALID_VALUE : OK;
  }

  int cuGraphInstantiateWithFlags(long out, long graph, long flags) {
    List<Runnable> work = graphs.get(graph);
    if (work == null || flags != 0) {
      return INVALID_HANDLE;
    }
    long executable = handle();
    graphs.put(executable, work);
    Stubs.putLong(out, executable);
    return OK;
  }

  int cuGraphLaunch(long executable, long stream) {
    List<Runnable> work = graphs.get(executable);
    if (work == null || stream == 0) {
      return INVALID_HANDLE;
    }
    work.forEach(Runnable::run);
    return OK;
  }

  int cuGraphDestroy(long graph) {
    return graphs.remove(graph) == null ? INVALID_HANDLE : OK;
  }

  int cuGraphExecDestroy(long executable) {
    return graphs.remove(executable) == null ? INVALID_HANDLE : OK;
  }

  int cuModuleLoadDataEx(long out, long image, int count, long options, long values) {
    if (!Stubs.getString(image).contains("axpy")) {
      boolean logOptions = Stubs.getInt(options) == 5 && Stubs.getInt(options + 4) == 6;
      if (count == 2 && logOptions && Stubs.getLong(values + 8) > 100) {
        Stubs.putString(Stubs.getLong(values), "line 3: unknown\n  directive");
      }
      return 218;
    }
    Stubs.putLong(out, MODULE);
    return OK;
  }

  int cuModuleUnload(long module) {
    return module == MODULE ? OK : INVALID_HANDLE;
  }

  int cuModuleGetFunction(long out, long module, long name) {
    if (module != MODULE || !Stubs.getString(name).equals("axpy")) {
      return 500;
    }
    Stubs.putLong(out, AXPY);
    return OK;
  }

  int cuFuncGetAttribute(long out, int number, long function) {
    Stubs.putInt(out, number == CudaModules.MAX_DYNAMIC_SHARED_BYTES ? attribute : 30 + number);
    return function == AXPY ? OK : INVALID_HANDLE;
  }

  int cuFuncSetAttribute(long function, int number, int value) {
    attribute = value;
    return function == AXPY && number == 8 ? OK : INVALID_HANDLE;
  }

  int cuOccupancyMaxActiveBlocksPerMultiprocessor(
      long out, long function, int threads, long sharedBytes) {
    Stubs.putInt(out, (int) (2048 / threads - sharedBytes / 1024));
    return function == AXPY ? OK : INVALID_HANDLE;
  }

  int cuLaunchKernel(
      long function,
      int gridX,
      int gridY,
      int gridZ,
      int blockX,
      int blockY,
      int blockZ,
      int sharedBytes,
      long stream,
      long arguments,
      long extra) {
    if (function != AXPY || extra != 0) {
      return INVALID_HANDLE;
    }
    lastLaunch = List.of(gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, (int) stream);
    int n = Stubs.getInt(Stubs.getLong(arguments));
    float a = Stubs.getFloat(Stubs.getLong(arguments + 8));
    long x = Stubs.getLong(Stubs.getLong(arguments + 16));
    long y = Stubs.getLong(Stubs.getLong(arguments + 24));
    return work(
        () -> {
          for (long i = 0; i < n; i++) {
            Stubs.putFloat(y + 4 * i, a * Stubs.getFloat(x + 4 * i) + Stubs.getFloat(y + 4 * i));
          }
        });
  }
}
