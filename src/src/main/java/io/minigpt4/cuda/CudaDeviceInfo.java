package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaDriver;

/**
 * What a device is.
 *
 * @param ordinal as in {@code cuda:0}
 * @param computeCapability such as {@code 9.0}
 * @param freeBytes memory that can be allocated
 */
public record CudaDeviceInfo(
    int ordinal,
    String name,
    String computeCapability,
    int multiprocessors,
    long freeBytes,
    long totalBytes) {

  /**
   * Asks the driver, without opening the device for work.
   *
   * @throws io.minigpt4.nativelib.NativeException if there is no such device, or it cannot be asked
   */
  public static CudaDeviceInfo of(CudaLibraries libraries, int ordinal) {
    CudaDriver driver = libraries.driver();
    int device = driver.device(ordinal);
    long context = driver.retainPrimaryContext(device);
    try {
      libraries.enter(context, libraries.opening());
      CudaDriver.MemoryInfo memory = driver.memoryInfo();
      return new CudaDeviceInfo(
          ordinal,
          driver.deviceName(device),
          driver.deviceAttribute(CudaDriver.COMPUTE_CAPABILITY_MAJOR, device)
              + "."
              + driver.deviceAttribute(CudaDriver.COMPUTE_CAPABILITY_MINOR, device),
          driver.deviceAttribute(CudaDriver.MULTIPROCESSOR_COUNT, device),
          memory.free(),
          memory.total());
    } finally {
      libraries.leave();
      driver.releasePrimaryContext(device);
    }
  }
}
