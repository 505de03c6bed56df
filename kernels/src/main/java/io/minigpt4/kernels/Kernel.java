package io.minigpt4.kernels;

import io.minigpt4.nativelib.CudaModules;
import io.minigpt4.nativelib.KernelArguments;
import java.lang.foreign.Arena;

/**
 * One kernel and the memory for its arguments, which are set one after the other and then launched.
 * Launching allocates nothing.
 */
final class Kernel {
  private final CudaModules modules;
  private final long function;
  private final KernelArguments arguments;
  private int next;

  Kernel(CudaModules modules, long function, Arena arena, int parameters) {
    this.modules = modules;
    this.function = function;
    this.arguments = new KernelArguments(arena, parameters);
  }

  /** The next argument: an address or a 64-bit number. */
  Kernel with(long value) {
    arguments.set(next++, value);
    return this;
  }

  /** The next argument: a 32-bit number. */
  Kernel with(int value) {
    arguments.set(next++, value);
    return this;
  }

  /** The next argument: a float32. */
  Kernel with(float value) {
    arguments.set(next++, value);
    return this;
  }

  /** Lets blocks have more dynamic shared memory than the 48 KiB that every device grants. */
  void allowSharedBytes(int bytes) {
    modules.setAttribute(function, CudaModules.MAX_DYNAMIC_SHARED_BYTES, bytes);
  }

  /**
   * Launches blocks of {@code threads} threads, without dynamic shared memory.
   *
   * @param gridX up to 2³¹ − 1
   * @param gridY up to 65535
   */
  void launch(long gridX, long gridY, int threads, long stream) {
    launch(gridX, gridY, 1, threads, 0, stream);
  }

  /**
   * Launches blocks of {@code threads} threads.
   *
   * @param sharedBytes dynamic shared memory of a block
   */
  void launch(long gridX, long gridY, long gridZ, int threads, int sharedBytes, long stream) {
    if (next != arguments.count()) {
      throw new IllegalStateException(next + " of " + arguments.count() + " arguments are set");
    }
    next = 0;
    modules.launch(
        function,
        Math.toIntExact(gridX),
        Math.toIntExact(gridY),
        Math.toIntExact(gridZ),
        threads,
        1,
        1,
        sharedBytes,
        stream,
        arguments);
  }
}
