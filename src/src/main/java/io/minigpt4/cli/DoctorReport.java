package io.minigpt4.cli;

import io.minigpt4.cuda.CudaDeviceInfo;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaProbe;
import org.jspecify.annotations.Nullable;

/** Takes in what {@code doctor} finds, in this order. */
interface DoctorReport {
  /**
   * First.
   *
   * @param cpu what the processor's operations call themselves
   */
  void machine(Machine machine, String cpu);

  /** No GPU can be used: why, and what to do. */
  void noGpu(String why);

  /** NVIDIA's libraries were found. */
  void libraries(CudaLibraries libraries);

  /** A device that will be examined. */
  void device(CudaDeviceInfo device);

  /** What it does at best. */
  void rates(CudaProbe.Rates rates);

  /** An operation. */
  void result(SelfTest.Result result);

  /**
   * The end of a device.
   *
   * @param error what broke the examination off; null if nothing did
   */
  void deviceEnd(boolean passed, @Nullable String error);

  /** Last. */
  void end(boolean healthy);
}
