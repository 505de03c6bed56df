package io.minigpt4.cuda;

import io.minigpt4.nativelib.CublasLt;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaModules;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.nativelib.Cudnn;
import io.minigpt4.nativelib.MissingLibraryException;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.nativelib.NativeLibrary;
import io.minigpt4.nativelib.Nccl;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * NVIDIA's driver and cuBLASLt behind their bindings, started, with at least one device. Safe for
 * use by several threads.
 */
public final class CudaLibraries {
  /** CUDA 11.8, the oldest whose drivers load the kernels. */
  private static final int OLDEST_DRIVER = 11080;

  private static final int NO_DEVICE = 100;

  private final CudaDriver driver;
  private final CudaStreams streams;
  private final CudaModules modules;
  private final CublasLt blas;
  private final String driverWhere;
  private final String blasWhere;
  private final Supplier<SymbolLookup> cudnnSymbols;
  private final Supplier<SymbolLookup> ncclSymbols;
  private @Nullable Cudnn cudnn;
  private boolean cudnnMissing;
  private @Nullable Nccl nccl;

  private final AtomicLong openings = new AtomicLong();

  /** The opening that is current in a thread, so that its context is set only when it changes. */
  private final ThreadLocal<long[]> current = ThreadLocal.withInitial(() -> new long[1]);

  private CudaLibraries(
      SymbolLookup driverSymbols,
      String driverWhere,
      SymbolLookup blasSymbols,
      String blasWhere,
      Supplier<SymbolLookup> cudnnSymbols,
      Supplier<SymbolLookup> ncclSymbols) {
    driver = new CudaDriver(driverSymbols);
    streams = new CudaStreams(driverSymbols);
    modules = new CudaModules(driverSymbols);
    blas = new CublasLt(blasSymbols);
    this.driverWhere = driverWhere;
    this.blasWhere = blasWhere;
    this.cudnnSymbols = cudnnSymbols;
    this.ncclSymbols = ncclSymbols;
  }

  /**
   * Looks for the libraries in the usual places and starts the driver.
   *
   * @param cudaPath a CUDA folder that the user named, tried first
   * @throws UserException if a library is missing, the driver too old, or no device there
   */
  public static CudaLibraries find(@Nullable Path cudaPath) {
    try {
      NativeLibrary.Found driver = NativeLibrary.CUDA_DRIVER.load(cudaPath);
      int cuda = new CudaDriver(driver.symbols()).version() / 1000;
      NativeLibrary.Found blas = NativeLibrary.CUBLAS_LT.load(cudaPath, cuda);
      return start(
          driver.symbols(),
          driver.where(),
          blas.symbols(),
          blas.where(),
          () -> cudnnSymbols(cudaPath, cuda),
          () -> NativeLibrary.NCCL.load(cudaPath).symbols());
    } catch (MissingLibraryException e) {
      throw new UserException("no GPU can be used: " + e.getMessage() + "; or use --device cpu", e);
    } catch (NativeException e) {
      throw doesNotStart(e);
    }
  }

  /** cuDNN compiles some of its kernels by NVRTC, which it finds only if that is loaded already. */
  private static SymbolLookup cudnnSymbols(@Nullable Path cudaPath, int cuda) {
    NativeLibrary.Found cudnn = NativeLibrary.CUDNN.load(cudaPath);
    try {
      NativeLibrary.NVRTC.load(cudaPath, cuda);
    } catch (MissingLibraryException e) {
      return cudnn.symbols(); // Then it has the kernels that it was built with.
    }
    return cudnn.symbols();
  }

  /**
   * The same with libraries of the caller's.
   *
   * @param driverWhere where the driver's functions come from, for people; likewise the other
   * @param cudnn loads cuDNN when it is first of use, or throws {@link MissingLibraryException};
   *     likewise {@code nccl}
   * @throws UserException if the driver is too old or no device there
   */
  public static CudaLibraries start(
      SymbolLookup driver,
      String driverWhere,
      SymbolLookup blas,
      String blasWhere,
      Supplier<SymbolLookup> cudnn,
      Supplier<SymbolLookup> nccl) {
    CudaLibraries libraries = new CudaLibraries(driver, driverWhere, blas, blasWhere, cudnn, nccl);
    try {
      libraries.driver.init();
      int version = libraries.driver.version();
      if (version < OLDEST_DRIVER) {
        throw new UserException(
            "the NVIDIA driver serves CUDA "
                + name(version)
                + ", but the kernels need "
                + name(OLDEST_DRIVER)
                + " (R525 or later); update the driver, or use --device cpu");
      }
      if (libraries.deviceCount() == 0) {
        throw noDevice(null);
      }
    } catch (NativeException e) {
      throw e.status() == NO_DEVICE ? noDevice(e) : doesNotStart(e);
    }
    return libraries;
  }

  private static UserException doesNotStart(NativeException cause) {
    return new UserException(
        "the NVIDIA driver does not start: "
            + cause.getMessage()
            + "; check that nvidia-smi works, or use --device cpu",
        cause);
  }

  private static UserException noDevice(@Nullable NativeException cause) {
    String message =
        "the NVIDIA driver sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES, or use"
            + " --device cpu";
    return cause == null ? new UserException(message) : new UserException(message, cause);
  }

  /** A driver's number for a version of CUDA as people write it. */
  static String name(int version) {
    return version / 1000 + "." + version % 1000 / 10;
  }

  /** How many devices the driver shows. */
  public int deviceCount() {
    return driver.deviceCount();
  }

  /** The newest CUDA that the driver serves, such as {@code 12.4}. */
  public String driverVersion() {
    return name(driver.version());
  }

  /** Where the driver was found. */
  public String driverWhere() {
    return driverWhere;
  }

  /** Version of cuBLASLt, such as {@code 13.1}. */
  public String blasVersion() {
    int version = blas.version();
    return version / 10_000 + "." + version % 10_000 / 100;
  }

  /** Where cuBLASLt was found. */
  public String blasWhere() {
    return blasWhere;
  }

  /**
   * A number for {@link #enter} that stands for a context while it is open. A context that is
   * opened anew may have the address of one that has ended, which some thread still takes for
   * current.
   */
  long opening() {
    return openings.incrementAndGet();
  }

  /** Makes a context current in this thread. */
  void enter(long context, long opening) {
    long[] known = current.get();
    if (known[0] != opening) {
      driver.setCurrentContext(context);
      known[0] = opening;
    }
  }

  /** Forgets what is current in this thread, as a context is about to end. */
  void leave() {
    current.get()[0] = 0;
  }

  CudaDriver driver() {
    return driver;
  }

  CudaStreams streams() {
    return streams;
  }

  CudaModules modules() {
    return modules;
  }

  CublasLt blas() {
    return blas;
  }

  /** cuDNN; null if it is not installed, which is no failure. */
  synchronized @Nullable Cudnn cudnn() {
    if (cudnn == null && !cudnnMissing) {
      try {
        cudnn = new Cudnn(cudnnSymbols.get());
      } catch (MissingLibraryException e) {
        cudnnMissing = true;
      }
    }
    return cudnn;
  }

  /**
   * NCCL.
   *
   * @throws UserException if it is not installed, with how to get it
   */
  synchronized Nccl nccl() {
    Nccl loaded = nccl;
    if (loaded == null) {
      try {
        loaded = new Nccl(ncclSymbols.get());
      } catch (MissingLibraryException e) {
        throw new UserException(
            "processes with a GPU each are connected by NCCL: "
                + e.getMessage()
                + "; or use --backend tcp",
            e);
      }
      nccl = loaded;
    }
    return loaded;
  }
}
