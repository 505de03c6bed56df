package io.minigpt4.cuda;

import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.SoftDriver;
import java.util.ArrayList;
import java.util.List;

/** The libraries of NVIDIA's with software GPUs behind them. */
public final class SoftCuda implements AutoCloseable {
  private final SoftDriver driver;
  private final CudaLibraries libraries;
  private final List<String> messages = new ArrayList<>();

  private SoftCuda(SoftGpuOptions options) {
    driver = SoftDriver.create(options);
    driver.onMessage(messages::add);
    libraries = CudaLibraries.start(driver.driver(), "software", driver.cublasLt(), "software");
  }

  /** One device of 8 GiB that checks all it can. */
  public static SoftCuda create() {
    return create(SoftGpuOptions.defaults());
  }

  public static SoftCuda create(SoftGpuOptions options) {
    return new SoftCuda(options);
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
