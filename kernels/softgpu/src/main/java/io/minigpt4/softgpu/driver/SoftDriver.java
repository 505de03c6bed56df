package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.check.Fault;
import io.minigpt4.softgpu.check.KernelFaultException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Software GPUs behind the vendor's C functions. Bindings that take a {@link SymbolLookup} run
 * against it as against {@code libcuda}, {@code libcublasLt}, {@code libcudnn} and {@code libnccl}.
 *
 * <p>Work of a stream runs at once, in the calling thread. A kernel that does something wrong makes
 * its launch fail and, as on hardware, all later calls on that device, until the last user of the
 * primary context has released it; {@link #faults} tells what was wrong.
 *
 * <pre>{@code
 * try (SoftDriver cuda = SoftDriver.create(SoftGpuOptions.defaults().withDevices(2))) {
 *   CudaDriver driver = new CudaDriver(cuda.driver());
 *   CublasLt blas = new CublasLt(cuda.cublasLt());
 * }
 * }</pre>
 */
public final class SoftDriver implements AutoCloseable {
  private final Arena arena = Arena.ofShared();
  private final List<SoftGpu> gpus = new ArrayList<>();
  private final SymbolLookup driver;
  private final SymbolLookup cublasLt;
  private final SymbolLookup cudnn;
  private final SymbolLookup nccl;
  private final CudnnApi cudnnApi;
  private final NcclApi ncclApi;
  private final MemoryApi memoryApi;
  private final ModuleApi moduleApi;
  private final List<Fault> faults = new ArrayList<>();
  private final Map<String, Injection> injections = new HashMap<>();
  private final Map<String, Long> calls = new HashMap<>();
  private Consumer<String> log = System.err::println;
  private Consumer<String> observer = function -> {};

  /** Passes what stubs tell on. */
  private final class Watcher implements Stubs.Calls {
    @Override
    public int before(String function) {
      return SoftDriver.this.before(function);
    }

    @Override
    public int failed(String function, Throwable cause) {
      return SoftDriver.this.failed(function, cause);
    }
  }

  private record Injection(long atCall, int status) {}

  private SoftDriver(SoftGpuOptions options) {
    for (int i = 0; i < options.devices(); i++) {
      gpus.add(SoftGpu.create(options));
    }
    State state = new State(gpus);
    Stubs.Calls watcher = new Watcher();
    memoryApi = new MemoryApi(state);
    moduleApi = new ModuleApi(state, this::note);
    driver =
        Stubs.of(
            arena,
            watcher,
            new DeviceApi(state, arena),
            memoryApi,
            new StreamApi(state),
            moduleApi);
    cublasLt = Stubs.of(arena, watcher, new CublasLtApi(state));
    cudnnApi = new CudnnApi(state, arena);
    cudnn = Stubs.of(arena, watcher, cudnnApi);
    ncclApi = new NcclApi(state, arena);
    nccl = Stubs.of(arena, watcher, ncclApi);
  }

  /** Makes as many devices as the options say, all alike. */
  public static SoftDriver create(SoftGpuOptions options) {
    return new SoftDriver(options);
  }

  /** The functions of {@code libcuda.so.1}. */
  public SymbolLookup driver() {
    return driver;
  }

  /** The functions of {@code libcublasLt.so}. */
  public SymbolLookup cublasLt() {
    return cublasLt;
  }

  /** The functions of {@code libcudnn.so.9} that convolutions and attention need. */
  public SymbolLookup cudnn() {
    return cudnn;
  }

  /** The functions of {@code libnccl.so.2}, for the devices of this object. */
  public SymbolLookup nccl() {
    return nccl;
  }

  /** A device, to look at from a test. */
  public SoftGpu gpu(int ordinal) {
    return gpus.get(ordinal);
  }

  /** Where messages about failed calls go; {@code System.err} at first. */
  public synchronized void onMessage(Consumer<String> consumer) {
    log = consumer;
  }

  /** All that kernels did wrong so far. */
  public synchronized List<Fault> faults() {
    return List.copyOf(faults);
  }

  private synchronized void note(KernelFaultException e) {
    faults.addAll(e.faults());
  }

  /**
   * Makes one call of a function fail without doing anything.
   *
   * @param function the C name, for example {@code cuMemAlloc_v2}
   * @param n which call from now: 1 for the next
   * @param status what it returns
   */
  public synchronized void fail(String function, int n, int status) {
    injections.put(function, new Injection(calls(function) + n, status));
  }

  /** Who hears the name of each function that is called, before it does anything. */
  public synchronized void onCall(Consumer<String> consumer) {
    observer = consumer;
  }

  /** How often a function has been called. */
  public synchronized long calls(String function) {
    return calls.getOrDefault(function, 0L);
  }

  /** Names of the kernels that have run without a fault, in replayed graphs too. */
  public Set<String> kernels() {
    return moduleApi.ran();
  }

  /** Bytes that were copied from host memory to devices, by replayed graphs too. */
  public long bytesToDevice() {
    return memoryApi.bytesToDevice();
  }

  /** Bytes that were copied from devices to host memory, by replayed graphs too. */
  public long bytesToHost() {
    return memoryApi.bytesToHost();
  }

  private synchronized int before(String function) {
    observer.accept(function);
    long n = calls.merge(function, 1L, Long::sum);
    Injection i = injections.get(function);
    if (i == null || i.atCall() != n) {
      return 0;
    }
    injections.remove(function);
    return i.status();
  }

  private synchronized int failed(String function, Throwable cause) {
    log.accept("software GPU: " + function + ": " + cause.getMessage());
    int code =
        cause instanceof Status s
            ? s.code()
            : cause instanceof OutOfMemoryError ? Status.OUT_OF_MEMORY : Status.UNKNOWN;
    String message = String.valueOf(cause.getMessage());
    if (function.startsWith("cublasLt")) {
      return CublasLtApi.status(code);
    }
    if (function.startsWith("cudnn")) {
      return cudnnApi.status(code, message);
    }
    return function.startsWith("nccl") ? ncclApi.status(code, message) : code;
  }

  @Override
  public void close() {
    gpus.forEach(SoftGpu::close);
    arena.close();
  }
}
