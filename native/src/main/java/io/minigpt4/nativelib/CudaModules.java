package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.CudaStatus.check;
import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;

/**
 * The CUDA driver API: modules of kernels, their attributes and occupancy, launches. Each method is
 * the function that its documentation names, and throws {@link NativeException} when that fails.
 */
public final class CudaModules {
  private static final String LIBRARY = "the CUDA driver (libcuda)";

  // Numbers of CUfunction_attribute.
  public static final int MAX_THREADS_PER_BLOCK = 0;
  public static final int STATIC_SHARED_BYTES = 1;
  public static final int LOCAL_BYTES = 3;
  public static final int REGISTERS = 4;
  public static final int MAX_DYNAMIC_SHARED_BYTES = 8;

  // Numbers of CUjit_option.
  private static final int JIT_ERROR_LOG = 5;
  private static final int JIT_ERROR_LOG_BYTES = 6;

  private static final int LOG_BYTES = 8192;

  private final MemorySegment moduleLoad;
  private final MemorySegment moduleUnload;
  private final MemorySegment moduleGetFunction;
  private final MemorySegment functionGetAttribute;
  private final MemorySegment functionSetAttribute;
  private final MemorySegment occupancy;
  private final MemorySegment launchKernel;
  private long launches;

  /**
   * @param symbols the driver's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public CudaModules(SymbolLookup symbols) {
    moduleLoad = Downcalls.find(symbols, LIBRARY, "cuModuleLoadDataEx");
    moduleUnload = Downcalls.find(symbols, LIBRARY, "cuModuleUnload");
    moduleGetFunction = Downcalls.find(symbols, LIBRARY, "cuModuleGetFunction");
    functionGetAttribute = Downcalls.find(symbols, LIBRARY, "cuFuncGetAttribute");
    functionSetAttribute = Downcalls.find(symbols, LIBRARY, "cuFuncSetAttribute");
    occupancy = Downcalls.find(symbols, LIBRARY, "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    launchKernel = Downcalls.find(symbols, LIBRARY, "cuLaunchKernel");
  }

  /**
   * {@code cuModuleLoadDataEx}.
   *
   * @param image PTX text or a cubin
   * @throws NativeException if it does not load; with the compiler's messages where there are any
   */
  public long load(byte[] image) {
    try (Arena arena = Arena.ofConfined();
        Out out = new Out()) {
      // PTX is a C string; to a cubin the zero does no harm.
      MemorySegment data = arena.allocate(image.length + 1L, 64);
      MemorySegment.copy(image, 0, data, ValueLayout.JAVA_BYTE, 0, image.length);
      MemorySegment log = arena.allocate(LOG_BYTES);
      MemorySegment options =
          arena.allocateFrom(ValueLayout.JAVA_INT, JIT_ERROR_LOG, JIT_ERROR_LOG_BYTES);
      MemorySegment values =
          arena.allocateFrom(ValueLayout.JAVA_LONG, log.address(), log.byteSize());
      int status =
          call(moduleLoad, out.address(), data.address(), 2, options.address(), values.address());
      String messages = log.getString(0).strip().replaceAll("\\s*\\n\\s*", " | ");
      check(
          messages.isEmpty() ? "cuModuleLoadDataEx" : "cuModuleLoadDataEx (" + messages + ")",
          status);
      return out.asLong();
    }
  }

  /** {@code cuModuleUnload}. */
  public void unload(long module) {
    check("cuModuleUnload", call(moduleUnload, module));
  }

  /** {@code cuModuleGetFunction}: the kernel of that name. */
  public long function(long module, String name) {
    try (Arena arena = Arena.ofConfined();
        Out out = new Out()) {
      long text = arena.allocateFrom(name).address();
      check(
          "cuModuleGetFunction(" + name + ")",
          call(moduleGetFunction, out.address(), module, text));
      return out.asLong();
    }
  }

  /** {@code cuFuncGetAttribute}, such as {@link #REGISTERS}. */
  public int attribute(long function, int attribute) {
    try (Out out = new Out()) {
      // The order of arguments is (result, attribute, function).
      check("cuFuncGetAttribute", call(functionGetAttribute, out.address(), attribute, function));
      return out.asInt();
    }
  }

  /** {@code cuFuncSetAttribute}, such as {@link #MAX_DYNAMIC_SHARED_BYTES}. */
  public void setAttribute(long function, int attribute, int value) {
    check("cuFuncSetAttribute", call(functionSetAttribute, function, attribute, value));
  }

  /**
   * {@code cuOccupancyMaxActiveBlocksPerMultiprocessor}.
   *
   * @param threads in a block
   * @param dynamicSharedBytes of a block
   */
  public int blocksPerMultiprocessor(long function, int threads, long dynamicSharedBytes) {
    try (Out out = new Out()) {
      int status = call(occupancy, out.address(), function, threads, dynamicSharedBytes);
      check("cuOccupancyMaxActiveBlocksPerMultiprocessor", status);
      return out.asInt();
    }
  }

  /**
   * {@code cuLaunchKernel}. Allocates nothing.
   *
   * @param sharedBytes dynamic shared memory of a block
   * @param arguments read before this returns, so it may be changed and used again
   */
  public void launch(
      long function,
      int gridX,
      int gridY,
      int gridZ,
      int blockX,
      int blockY,
      int blockZ,
      int sharedBytes,
      long stream,
      KernelArguments arguments) {
    launches++;
    int status =
        Downcalls.launch(
            launchKernel,
            function,
            gridX,
            gridY,
            gridZ,
            blockX,
            blockY,
            blockZ,
            sharedBytes,
            stream,
            arguments.address(),
            0);
    check("cuLaunchKernel", status);
  }

  /** How many times {@link #launch} was called, whether it launched or was captured. */
  public long launches() {
    return launches;
  }
}
