package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.Dim3;
import io.minigpt4.softgpu.GpuFunction;
import io.minigpt4.softgpu.GpuModule;
import io.minigpt4.softgpu.check.Fault;
import io.minigpt4.softgpu.check.KernelFaultException;
import io.minigpt4.softgpu.driver.State.Device;
import io.minigpt4.softgpu.driver.State.Stream;
import io.minigpt4.softgpu.ptx.PtxException;
import io.minigpt4.softgpu.run.Kernel;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Modules, functions and launches of the CUDA driver API. */
final class ModuleApi {
  private static final int JIT_ERROR_LOG = 5;
  private static final int JIT_ERROR_LOG_BYTES = 6;
  private final State state;
  private final Consumer<KernelFaultException> faults;
  private final Set<String> ran = ConcurrentHashMap.newKeySet();

  /** A module and where it was loaded. */
  private record Loaded(GpuModule module, Device device) {}

  /** A kernel and where it was loaded. */
  private record Function(GpuFunction function, Device device) {}

  ModuleApi(State state, Consumer<KernelFaultException> faults) {
    this.state = state;
    this.faults = faults;
  }

  /** Names of the kernels that have run without a fault. */
  Set<String> ran() {
    return Set.copyOf(ran);
  }

  public int cuModuleLoadData(long module, long image) {
    return cuModuleLoadDataEx(module, image, 0, 0, 0);
  }

  public int cuModuleLoadDataEx(long module, long image, int n, long options, long values) {
    Device d = state.current();
    String text = Native.getString(image);
    if (text.startsWith("\u007fELF") || !text.contains(".version")) {
      throw new Status(Status.INVALID_IMAGE, "only PTX text can be loaded");
    }
    try {
      Native.putLong(module, state.handle(new Loaded(d.gpu.loadModule(text), d)));
      return Status.SUCCESS;
    } catch (PtxException e) {
      log(e.getMessage(), n, options, values);
      throw new Status(Status.INVALID_PTX, String.valueOf(e.getMessage()));
    }
  }

  /** Writes to the caller's error log, where one of the options gives it. */
  private static void log(@Nullable String message, int n, long options, long values) {
    long buffer = 0;
    int room = 0;
    for (int i = 0; i < n; i++) {
      switch (Native.getInt(options + 4L * i)) {
        case JIT_ERROR_LOG -> buffer = Native.getLong(values + 8L * i);
        case JIT_ERROR_LOG_BYTES -> room = (int) Native.getLong(values + 8L * i);
        default -> {}
      }
    }
    if (buffer != 0 && room > 0) {
      Native.putString(buffer, String.valueOf(message), room);
    }
  }

  public int cuModuleUnload(long module) {
    state.remove(module, Loaded.class).module().unload();
    return Status.SUCCESS;
  }

  public int cuModuleGetFunction(long function, long module, long name) {
    Loaded m = state.get(module, Loaded.class);
    String text = Native.getString(name);
    if (!m.module().functions().contains(text)) {
      throw new Status(Status.NOT_FOUND, "the module has no kernel " + text);
    }
    Function f = new Function(m.module().function(text), m.device());
    Native.putLong(function, state.handle(f));
    return Status.SUCCESS;
  }

  public int cuModuleGetGlobal_v2(long address, long bytes, long module, long name) {
    Loaded m = state.get(module, Loaded.class);
    String text = Native.getString(name);
    try {
      if (address != 0) {
        Native.putLong(address, m.module().variable(text));
      }
      if (bytes != 0) {
        Native.putLong(bytes, m.module().variableSize(text));
      }
    } catch (IllegalArgumentException e) {
      throw new Status(Status.NOT_FOUND, String.valueOf(e.getMessage()));
    }
    return Status.SUCCESS;
  }

  public int cuFuncGetAttribute(long value, int attribute, long function) {
    GpuFunction f = state.get(function, Function.class).function();
    Kernel k = f.kernel();
    int v =
        switch (attribute) {
          case 0 -> k.maxThreads() > 0 ? k.maxThreads() : 1024;
          case 1 -> k.sharedBytes();
          case 3 -> k.localBytes();
          case 4 -> Math.min(255, k.registers32() + 2 * k.registers64());
          case 5, 6 -> 80;
          case 8 -> f.maxDynamicShared();
          default -> 0;
        };
    Native.putInt(value, v);
    return Status.SUCCESS;
  }

  public int cuFuncSetAttribute(long function, int attribute, int value) {
    GpuFunction f = state.get(function, Function.class).function();
    try {
      switch (attribute) {
        case 8 -> f.allowDynamicShared(value);
        case 9 -> {}
        default -> throw new Status(Status.INVALID_VALUE, "attribute " + attribute);
      }
    } catch (IllegalArgumentException e) {
      throw new Status(Status.INVALID_VALUE, String.valueOf(e.getMessage()));
    }
    return Status.SUCCESS;
  }

  public int cuFuncSetCacheConfig(long function, int config) {
    state.get(function, Function.class);
    return Status.SUCCESS;
  }

  public int cuOccupancyMaxActiveBlocksPerMultiprocessor(
      long blocks, long function, int threads, long shared) {
    Kernel k = state.get(function, Function.class).function().kernel();
    if (threads < 1 || threads > 1024) {
      return Status.INVALID_VALUE;
    }
    long each = k.sharedBytes() + shared + 1024;
    int warps = (threads + 31) / 32;
    Native.putInt(blocks, (int) Math.min(32, Math.min(64 / warps, 164 * 1024 / each)));
    return Status.SUCCESS;
  }

  public int cuLaunchKernel(
      long function,
      int gridX,
      int gridY,
      int gridZ,
      int blockX,
      int blockY,
      int blockZ,
      int shared,
      long stream,
      long params,
      long extra) {
    Stream s = state.stream(stream);
    Function f = state.get(function, Function.class);
    Dim3 grid = new Dim3(gridX, gridY, gridZ);
    Dim3 block = new Dim3(blockX, blockY, blockZ);
    String refusal = s.device.gpu.refusal(f.function(), grid, block, shared);
    if (f.device() != s.device) {
      throw new Status(Status.INVALID_HANDLE, f.function().name() + " is of another device");
    }
    if (refusal != null) {
      throw new Status(Status.INVALID_VALUE, f.function().name() + ": " + refusal);
    }
    byte[] arguments = arguments(f.function().kernel(), params, extra);
    state.enqueue(s, () -> launch(f, grid, block, shared, arguments));
    return Status.SUCCESS;
  }

  /** The values at the time of the call, as the kernel's parameters lie. */
  private static byte[] arguments(Kernel k, long params, long extra) {
    byte[] out = new byte[k.paramBytes()];
    MemorySegment buffer = MemorySegment.ofArray(out);
    if (extra != 0) {
      MemorySegment given = extra(k, extra);
      MemorySegment.copy(given, 0, buffer, 0, out.length);
    } else {
      for (int i = 0; i < k.params().size(); i++) {
        Kernel.Param p = k.params().get(i);
        if (params == 0 || Native.getLong(params + 8L * i) == 0) {
          throw new Status(
              Status.INVALID_VALUE,
              "%s takes %d arguments; number %d is null".formatted(k.name(), k.params().size(), i));
        }
        MemorySegment from = Native.at(Native.getLong(params + 8L * i), p.size());
        MemorySegment.copy(from, 0, buffer, p.offset(), p.size());
      }
    }
    return out;
  }

  /** The buffer that the list {1, pointer, 2, pointer to size, 0} names. */
  private static MemorySegment extra(Kernel k, long extra) {
    long buffer = 0;
    long bytes = -1;
    for (long at = extra; Native.getLong(at) != 0; at += 16) {
      switch ((int) Native.getLong(at)) {
        case 1 -> buffer = Native.getLong(at + 8);
        case 2 -> bytes = Native.getLong(Native.getLong(at + 8));
        default -> throw new Status(Status.INVALID_VALUE, "extra is not understood");
      }
    }
    if (bytes != k.paramBytes()) {
      throw new Status(
          Status.INVALID_VALUE,
          "%s takes %d bytes of arguments, not %d".formatted(k.name(), k.paramBytes(), bytes));
    }
    return Native.at(buffer, bytes);
  }

  private void launch(Function f, Dim3 grid, Dim3 block, int shared, byte[] arguments) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment params = arena.allocate(arguments.length + 16L, 16);
      MemorySegment.copy(MemorySegment.ofArray(arguments), 0, params, 0, arguments.length);
      f.device().gpu.launch(f.function(), grid, block, shared, params);
      ran.add(f.function().name());
    } catch (KernelFaultException e) {
      Fault worst = e.faults().getFirst();
      f.device().spoilt = Status.of(worst.kind());
      faults.accept(e);
      throw new Status(f.device().spoilt, String.valueOf(e.getMessage()));
    }
  }
}
