package io.minigpt4.softgpu;

import io.minigpt4.softgpu.check.Checks;
import io.minigpt4.softgpu.check.KernelFaultException;
import io.minigpt4.softgpu.run.Allocation;
import io.minigpt4.softgpu.run.Cta;
import io.minigpt4.softgpu.run.DeviceMemory;
import io.minigpt4.softgpu.run.Kernel;
import io.minigpt4.softgpu.run.Launch;
import io.minigpt4.softgpu.run.Raw;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * One GPU in software. Runs kernels of PTX modules on the JVM, blocks in parallel on the cores, and
 * checks each memory access.
 *
 * <pre>{@code
 * try (SoftGpu gpu = SoftGpu.create(SoftGpuOptions.defaults())) {
 *   GpuModule module = gpu.loadModule(ptx);
 *   long x = gpu.alloc(4 * n);
 *   gpu.copyToDevice(x, MemorySegment.ofArray(values));
 *   gpu.launch(module.function("scale"), Dim3.of(blocks), Dim3.of(256), 0, x, n, 0.5f);
 *   gpu.copyFromDevice(MemorySegment.ofArray(values), x);
 * }
 * }</pre>
 *
 * <p>Calls from several threads are allowed; launches run one at a time.
 */
public final class SoftGpu implements AutoCloseable {
  private final SoftGpuOptions options;
  private final DeviceMemory memory;
  private final Object launching = new Object();
  private long instructions;
  private long launches;

  private SoftGpu(SoftGpuOptions options) {
    this.options = options;
    this.memory = new DeviceMemory(options.memoryBytes());
  }

  /** Makes a GPU with memory, limits and checks as the options say. */
  public static SoftGpu create(SoftGpuOptions options) {
    return new SoftGpu(options);
  }

  /** What it was made with. */
  public SoftGpuOptions options() {
    return options;
  }

  /** Its allocations. */
  public DeviceMemory memory() {
    return memory;
  }

  /**
   * Parses and compiles all kernels of a module.
   *
   * @throws io.minigpt4.softgpu.ptx.PtxException naming the line of what is wrong or not supported
   */
  public GpuModule loadModule(String ptx) {
    return GpuModule.load(this, ptx);
  }

  /**
   * Allocates device memory.
   *
   * @param bytes at least 1
   * @return the device address, aligned to 256 bytes; nothing is written there yet
   * @throws OutOfMemoryError where the device has less free
   */
  public long alloc(long bytes) {
    Allocation a = memory.allocate(bytes, Allocation.Kind.DEVICE, "allocation");
    if (a == null) {
      throw new OutOfMemoryError(
          "the software GPU has %d bytes free of %d, %d are needed"
              .formatted(memory.free(), memory.capacity(), bytes));
    }
    return a.base();
  }

  /**
   * Frees device memory.
   *
   * @throws IllegalArgumentException where no allocation starts at that address
   */
  public void free(long address) {
    if (!memory.free(address)) {
      throw new IllegalArgumentException("no allocation starts at 0x%x".formatted(address));
    }
  }

  /** Copies all of {@code source} to the device. */
  public void copyToDevice(long destination, MemorySegment source) {
    Allocation a = range(destination, source.byteSize());
    MemorySegment.copy(
        source,
        0,
        MemorySegment.ofAddress(destination).reinterpret(source.byteSize()),
        0,
        source.byteSize());
    a.markWritten(destination, source.byteSize());
  }

  /** Fills all of {@code destination} from the device. */
  public void copyFromDevice(MemorySegment destination, long source) {
    range(source, destination.byteSize());
    MemorySegment.copy(
        MemorySegment.ofAddress(source).reinterpret(destination.byteSize()),
        0,
        destination,
        0,
        destination.byteSize());
  }

  /** Sets bytes on the device. */
  public void memset(long address, int value, long bytes) {
    Allocation a = range(address, bytes);
    Raw.fill(address, bytes, value);
    a.markWritten(address, bytes);
  }

  /** Sets {@code count} words of 4 bytes on the device. */
  public void fill32(long address, int value, long count) {
    Allocation a = range(address, count * 4);
    for (long i = 0; i < count; i++) {
      Raw.put32(address + i * 4, value);
    }
    a.markWritten(address, count * 4);
  }

  /** Copies between devices, or on one; what was never written stays so. */
  public static void copy(SoftGpu target, long to, SoftGpu source, long from, long bytes) {
    Allocation a = source.range(from, bytes);
    Allocation b = target.range(to, bytes);
    Raw.copy(from, to, bytes);
    a.copyWritten(from, b, to, bytes);
  }

  /**
   * The allocation that holds this range.
   *
   * @throws IllegalArgumentException where none does
   */
  private Allocation range(long address, long bytes) {
    Allocation a = memory.find(address);
    if (a == null || address + bytes > a.base() + a.size()) {
      throw new IllegalArgumentException(
          "0x%x and %d bytes are not inside one allocation of the software GPU"
              .formatted(address, bytes));
    }
    return a;
  }

  /**
   * Runs a kernel to its end.
   *
   * @param args one for each parameter: Long (also for pointers), Integer, Short, Float, Double, or
   *     byte[] for structures; sizes must be those that the kernel declares
   * @throws KernelFaultException where the kernel did something wrong
   * @throws IllegalArgumentException where arguments or launch shape do not fit the kernel
   */
  public void launch(GpuFunction f, Dim3 grid, Dim3 block, int sharedBytes, Object... args) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment params = arena.allocate(f.kernel().paramBytes() + 16L, 16);
      Arguments.pack(f.kernel(), args, params);
      launch(f, grid, block, sharedBytes, params);
    }
  }

  /**
   * Runs a kernel whose arguments lie in a buffer as the kernel declares them.
   *
   * @throws KernelFaultException where the kernel did something wrong
   * @throws IllegalArgumentException where the launch shape does not fit the kernel or the device
   */
  public void launch(GpuFunction f, Dim3 grid, Dim3 block, int sharedBytes, MemorySegment params) {
    String refusal = refusal(f, grid, block, sharedBytes);
    if (refusal != null) {
      throw new IllegalArgumentException("launch of " + f.name() + ": " + refusal);
    }
    Launch launch =
        new Launch(
            f.kernel(),
            memory,
            options.checks(),
            params.address(),
            new int[] {grid.x(), grid.y(), grid.z()},
            new int[] {block.x(), block.y(), block.z()},
            sharedBytes);
    synchronized (launching) {
      run(launch);
      instructions += launch.instructions();
      launches++;
    }
    if (!launch.faults().isEmpty()) {
      throw new KernelFaultException(launch.faults());
    }
  }

  /** Why this launch cannot be; null where it can. */
  public @Nullable String refusal(GpuFunction f, Dim3 grid, Dim3 block, int sharedBytes) {
    Kernel k = f.kernel();
    if (grid.x() < 1 || grid.y() < 1 || grid.z() < 1) {
      return "grid " + grid + " has no blocks";
    }
    if (grid.y() > 65535 || grid.z() > 65535) {
      return "grid " + grid + " is larger than 65535 in y or z";
    }
    if (block.x() < 1 || block.y() < 1 || block.z() < 1) {
      return "block " + block + " has no threads";
    }
    long threads = block.count();
    int limit = k.maxThreads() > 0 ? Math.min(k.maxThreads(), 1024) : 1024;
    if (threads > limit || block.z() > 64) {
      return "block " + block + " has more than " + limit + " threads, or more than 64 in z";
    }
    List<Integer> required = k.requiredBlock();
    if (!required.isEmpty() && !required.equals(List.of(block.x(), block.y(), block.z()))) {
      return "block " + block + " is not the one that .reqntid requires";
    }
    long shared = (long) k.sharedBytes() + sharedBytes;
    if (sharedBytes < 0 || shared > f.maxSharedBytes()) {
      return "%d bytes of shared memory (%d static, %d dynamic) are more than %d"
          .formatted(shared, k.sharedBytes(), sharedBytes, f.maxSharedBytes());
    }
    return null;
  }

  /** Workers take blocks one by one; the calling thread is one of them. */
  private void run(Launch launch) {
    int workers = (int) Math.min(options.workers(), launch.blocks());
    AtomicLong next = new AtomicLong();
    Throwable[] failure = new Throwable[1];
    Runnable work =
        () -> {
          try (Cta cta = new Cta(launch)) {
            for (long b = next.getAndIncrement();
                b < launch.blocks() && !launch.isStopped();
                b = next.getAndIncrement()) {
              cta.run(b);
            }
          } catch (RuntimeException | Error e) {
            synchronized (failure) {
              failure[0] = e;
            }
            launch.stop();
          }
        };
    Thread[] others = new Thread[workers - 1];
    for (int i = 0; i < others.length; i++) {
      others[i] = Thread.ofPlatform().daemon().name("softgpu-" + i).start(work);
    }
    work.run();
    boolean interrupted = false;
    for (Thread t : others) {
      while (t.isAlive()) {
        try {
          t.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
    synchronized (failure) {
      if (failure[0] != null) {
        throw new IllegalStateException("the software GPU itself failed", failure[0]);
      }
    }
  }

  /** Thread instructions of all launches so far. */
  public long instructions() {
    synchronized (launching) {
      return instructions;
    }
  }

  /** Launches so far. */
  public long launches() {
    synchronized (launching) {
      return launches;
    }
  }

  /** The checks that run beside kernels. */
  public Checks checks() {
    return options.checks();
  }

  @Override
  public void close() {
    memory.close();
  }
}
