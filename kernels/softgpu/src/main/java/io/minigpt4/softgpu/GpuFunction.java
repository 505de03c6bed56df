package io.minigpt4.softgpu;

import io.minigpt4.softgpu.run.Kernel;

/** A kernel of a loaded module. */
public final class GpuFunction {
  /** Shared memory of a block without asking for more. */
  public static final int DEFAULT_SHARED = 48 * 1024;

  /** What a block may have after {@link #allowDynamicShared}: that of sm_80. */
  public static final int LARGEST_SHARED = 163 * 1024;

  private final Kernel kernel;
  private int maxDynamicShared;

  GpuFunction(Kernel kernel) {
    this.kernel = kernel;
    this.maxDynamicShared = Math.max(0, DEFAULT_SHARED - kernel.sharedBytes());
  }

  /** Its name in the PTX. */
  public String name() {
    return kernel.name();
  }

  /** The compiled kernel. */
  public Kernel kernel() {
    return kernel;
  }

  /** Dynamic shared memory that a launch may ask for, in bytes. */
  public int maxDynamicShared() {
    return maxDynamicShared;
  }

  /**
   * Raises or lowers the limit of dynamic shared memory, as the driver's attribute
   * MAX_DYNAMIC_SHARED_SIZE_BYTES does.
   *
   * @throws IllegalArgumentException where static and dynamic together exceed the hardware's limit
   */
  public void allowDynamicShared(int bytes) {
    if (bytes < 0 || bytes + kernel.sharedBytes() > LARGEST_SHARED) {
      throw new IllegalArgumentException(
          bytes + " bytes of dynamic shared memory exceed what a block can have");
    }
    maxDynamicShared = bytes;
  }

  /** Static and dynamic shared memory that a launch may have. */
  int maxSharedBytes() {
    return kernel.sharedBytes() + maxDynamicShared;
  }
}
