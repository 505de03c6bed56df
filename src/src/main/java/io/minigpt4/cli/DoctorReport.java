package io.minigpt4.cli;

import io.minigpt4.cuda.CudaDeviceInfo;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaProbe;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Takes in what {@code doctor} finds, in this order. */
interface DoctorReport {
  /**
   * First.
   *
   * @param cpu what the processor's operations call themselves
   * @param products instructions of their native code, or why there is none
   */
  void machine(Machine machine, String cpu, String products);

  /**
   * A library of NVIDIA's.
   *
   * @param name what it is, such as {@code cublas_lt}
   * @param found whether it is here and loads
   * @param text where it is, or how to get it
   */
  record Library(String name, boolean found, String text) {}

  /** All libraries that may be used. */
  void libraries(List<Library> all);

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
