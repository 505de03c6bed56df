package io.minigpt4.cuda;

import io.minigpt4.nativelib.MissingLibraryException;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.lang.foreign.SymbolLookup;
import java.util.ArrayList;
import java.util.List;

/** The libraries of NVIDIA's with software GPUs behind them. */
public final class SoftCuda implements AutoCloseable {
  private final SoftDriver driver;
  private final CudaLibraries libraries;
  private final List<String> messages = new ArrayList<>();

  private SoftCuda(SoftGpuOptions options, boolean withCudnn, boolean withNccl) {
    driver = SoftDriver.create(options);
    driver.onMessage(messages::add);
    libraries =
        CudaLibraries.start(
            driver.driver(),
            "software",
            driver.cublasLt(),
            "software",
            () -> present(withCudnn, driver.cudnn(), "libcudnn.so"),
            () -> present(withNccl, driver.nccl(), "libnccl.so"));
  }

  private static SymbolLookup present(boolean there, SymbolLookup symbols, String name) {
    if (!there) {
      throw new MissingLibraryException(name + " was not found; pip install it");
    }
    return symbols;
  }

  /** The driver and cuBLASLt alone, as on machines without cuDNN and NCCL. */
  public static SoftCuda withoutOptionalLibraries(SoftGpuOptions options) {
    return new SoftCuda(options, false, false);
  }

  /** One device of 8 GiB that checks all it can, with all libraries. */
  public static SoftCuda create() {
    return create(SoftGpuOptions.defaults());
  }

  public static SoftCuda create(SoftGpuOptions options) {
    return new SoftCuda(options, true, true);
  }

  public CudaLibraries libraries() {
    return libraries;
  }

  public SoftDriver driver() {
    return driver;
  }

  /** What the software GPU complained of. */
  public List<String> messages() {
    return messages;
  }

  public CudaOps open(int ordinal) {
    return CudaOps.open(libraries, ordinal);
  }

  @Override
  public void close() {
    driver.close();
  }
}
