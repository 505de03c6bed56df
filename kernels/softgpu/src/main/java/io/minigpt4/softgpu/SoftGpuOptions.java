package io.minigpt4.softgpu;

import io.minigpt4.softgpu.check.Checks;

/**
 * What a software GPU pretends to be and what it checks.
 *
 * @param memoryBytes device memory; host memory is taken only as it is allocated
 * @param computeMajor compute capability, for example 8 of sm_80
 * @param computeMinor compute capability, for example 0 of sm_80
 * @param devices how many GPUs the driver shows
 * @param workers threads that run blocks
 * @param checks which checks run
 */
public record SoftGpuOptions(
    long memoryBytes, int computeMajor, int computeMinor, int devices, int workers, Checks checks) {

  /** 8 GiB, sm_80, one device, all cores, all checks. */
  public static SoftGpuOptions defaults() {
    int cores = Runtime.getRuntime().availableProcessors();
    return new SoftGpuOptions(8L << 30, 8, 0, 1, cores, Checks.ALL);
  }

  /** The same with other checks. */
  public SoftGpuOptions withChecks(Checks c) {
    return new SoftGpuOptions(memoryBytes, computeMajor, computeMinor, devices, workers, c);
  }

  /** The same with other memory. */
  public SoftGpuOptions withMemory(long bytes) {
    return new SoftGpuOptions(bytes, computeMajor, computeMinor, devices, workers, checks);
  }

  /** The same with another compute capability. */
  public SoftGpuOptions withCompute(int major, int minor) {
    return new SoftGpuOptions(memoryBytes, major, minor, devices, workers, checks);
  }

  /** The same with another number of devices. */
  public SoftGpuOptions withDevices(int n) {
    return new SoftGpuOptions(memoryBytes, computeMajor, computeMinor, n, workers, checks);
  }

  /** The same with another number of threads that run blocks. */
  public SoftGpuOptions withWorkers(int n) {
    return new SoftGpuOptions(memoryBytes, computeMajor, computeMinor, devices, n, checks);
  }
}
