package io.minigpt4.cuda;

import io.minigpt4.kernels.KernelLibrary;
import io.minigpt4.nativelib.CublasLt;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.tensor.ByteCounts;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One GPU: its primary context, one stream that all work goes through, its memory, cuBLASLt's
 * handle and the kernels. Memory is freed when the device is closed.
 *
 * <p>Not safe for use by several threads at the same time; {@link #enter} comes before any call
 * from a thread.
 */
public final class CudaDevice implements AutoCloseable {
  private static final int OLDEST_MAJOR = 8;
  private static final int OUT_OF_MEMORY = 2;

  private final CudaLibraries libraries;
  private final int ordinal;
  private final int handle;
  private final String name;
  private final long context;
  private final long opening;
  private final Arena scope = Arena.ofShared();
  private final List<Long> allocations = new ArrayList<>();
  private final List<MemorySegment> pinned = new ArrayList<>();
  private long stream;
  private long waited;
  private long blas;
  private @Nullable KernelLibrary kernels;

  private CudaDevice(CudaLibraries libraries, int ordinal, int handle, String name, long context) {
    this.libraries = libraries;
    this.ordinal = ordinal;
    this.handle = handle;
    this.name = name;
    this.context = context;
    this.opening = libraries.opening();
  }

  /**
   * Opens a device.
   *
   * @param ordinal 0 to {@link CudaLibraries#deviceCount} − 1
   * @throws UserException if there is no such device, it is too old, or another process keeps it
   */
  public static CudaDevice open(CudaLibraries libraries, int ordinal) {
    int count = libraries.deviceCount();
    if (ordinal < 0 || ordinal >= count) {
      throw new UserException(
          "there is no device cuda:"
              + ordinal
              + "; the driver shows "
              + (count == 1 ? "only cuda:0" : "cuda:0 to cuda:" + (count - 1)));
    }
    CudaDriver driver = libraries.driver();
    int handle = driver.device(ordinal);
    String name = driver.deviceName(handle);
    int major = driver.deviceAttribute(CudaDriver.COMPUTE_CAPABILITY_MAJOR, handle);
    int minor = driver.deviceAttribute(CudaDriver.COMPUTE_CAPABILITY_MINOR, handle);
    if (major < OLDEST_MAJOR) {
      throw new UserException(
          String.format(
              "cuda:%d (%s) has compute capability %d.%d; the kernels need 8.0 or later (Ampere,"
                  + " 2020); use --device cpu",
              ordinal, name, major, minor));
    }
    long context;
    try {
      context = driver.retainPrimaryContext(handle);
    } catch (NativeException e) {
      throw new UserException(
          String.format(
              "cuda:%d (%s) cannot be opened: %s; nvidia-smi lists the processes that use it",
              ordinal, name, e.getMessage()),
          e);
    }
    CudaDevice device = new CudaDevice(libraries, ordinal, handle, name, context);
    try {
      device.start();
      return device;
    } catch (RuntimeException e) {
      device.close();
      throw e;
    }
  }

  private void start() {
    enter();
    stream = libraries.streams().createStream(CudaStreams.NON_BLOCKING);
    kernels = new KernelLibrary(libraries.modules());
    try {
      blas = libraries.blas().create();
    } catch (NativeException e) {
      throw new UserException(
          String.format(
              "cuBLASLt %s from %s does not start on cuda:%d: %s; the driver serves CUDA %s, take a"
                  + " cuBLAS of that version or older and name its folder by --cuda-path",
              libraries.blasVersion(),
              libraries.blasWhere(),
              ordinal,
              e.getMessage(),
              libraries.driverVersion()),
          e);
    }
  }

  /** Makes this device the one that the thread's calls mean. */
  void enter() {
    libraries.enter(context, opening);
  }

  /** What a person calls it, e.g. {@code cuda:0, NVIDIA H200}. */
  public String description() {
    return "cuda:" + ordinal + ", " + name;
  }

  /** An attribute of the driver's, such as {@link CudaDriver#MULTIPROCESSOR_COUNT}. */
  public int attribute(int attribute) {
    return libraries.driver().deviceAttribute(attribute, handle);
  }

  /** Free and total memory. */
  public CudaDriver.MemoryInfo memory() {
    enter();
    return libraries.driver().memoryInfo();
  }

  CudaLibraries libraries() {
    return libraries;
  }

  CublasLt blas() {
    return libraries.blas();
  }

  long blasHandle() {
    return blas;
  }

  long stream() {
    return stream;
  }

  KernelLibrary kernels() {
    if (kernels == null) {
      throw new IllegalStateException(description() + " is closed");
    }
    return kernels;
  }

  /**
   * Device memory, aligned to 256 bytes, until the device is closed. The segment's address means
   * something to the device alone.
   *
   * @throws UserException if so much is not free
   */
  MemorySegment allocate(long bytes) {
    enter();
    long address;
    try {
      address = libraries.driver().alloc(Math.max(bytes, 1));
    } catch (NativeException e) {
      throw e.status() == OUT_OF_MEMORY ? outOfMemory(bytes, e) : e;
    }
    allocations.add(address);
    return MemorySegment.ofAddress(address).reinterpret(bytes, scope, null);
  }

  private UserException outOfMemory(long bytes, NativeException cause) {
    CudaDriver.MemoryInfo memory = libraries.driver().memoryInfo();
    return new UserException(
        String.format(
            "%s has %s free of %s, and another %s are needed; end other programs that use it"
                + " (nvidia-smi lists them), split the model as in --device cuda:0,1, or use"
                + " --device cpu",
            description(),
            ByteCounts.text(memory.free()),
            ByteCounts.text(memory.total()),
            ByteCounts.text(bytes)),
        cause);
  }

  /** Frees memory of {@link #allocate} early; nothing may refer to it any more. */
  void free(MemorySegment memory) {
    enter();
    if (!allocations.remove(Long.valueOf(memory.address()))) {
      throw new IllegalArgumentException("not memory of " + description());
    }
    libraries.driver().free(memory.address());
  }

  /** Pinned host memory, zeroed, until the device is closed. */
  MemorySegment allocatePinned(long bytes) {
    enter();
    MemorySegment memory = libraries.driver().hostAlloc(bytes, CudaDriver.HOST_PORTABLE);
    pinned.add(memory);
    return memory.fill((byte) 0);
  }

  /**
   * The address of a tensor in this device's memory.
   *
   * @throws IllegalArgumentException if it is not there, or was released
   */
  long address(Tensor tensor) {
    MemorySegment memory = tensor.segment();
    if (!memory.scope().equals(scope.scope()) || !memory.scope().isAlive()) {
      throw new IllegalArgumentException(
          tensor + " is not in the memory of " + description() + ", or was released");
    }
    return memory.address();
  }

  /** Waits until all work is done. */
  void synchronize() {
    enter();
    long start = System.nanoTime();
    libraries.streams().synchronize(stream);
    waited += System.nanoTime() - start;
  }

  /** Nanoseconds that {@link #synchronize} has waited. */
  long waited() {
    return waited;
  }

  /** Why the device cannot compute any more; null if it can. */
  @Nullable String failure() {
    try {
      enter();
      libraries.streams().isDone(stream);
      return null;
    } catch (NativeException e) {
      return e.getMessage();
    }
  }

  /** Releases everything. After a kernel's failure the driver frees what cannot be freed by us. */
  @Override
  public void close() {
    if (scope.scope().isAlive()) {
      scope.close();
      try {
        enter();
        libraries.streams().synchronize(stream);
        release();
      } catch (NativeException e) {
        // The context is spoilt: its memory goes with it.
        kernels = null;
      }
      libraries.leave();
      libraries.driver().releasePrimaryContext(handle);
    }
  }

  private void release() {
    if (kernels != null) {
      kernels.close();
      kernels = null;
    }
    if (blas != 0) {
      libraries.blas().destroy(blas);
    }
    if (stream != 0) {
      libraries.streams().destroyStream(stream);
    }
    allocations.forEach(libraries.driver()::free);
    pinned.forEach(libraries.driver()::hostFree);
  }
}
