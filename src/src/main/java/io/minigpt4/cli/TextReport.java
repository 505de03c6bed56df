package io.minigpt4.cli;

import io.minigpt4.cuda.CudaDeviceInfo;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaProbe;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** What {@code doctor} finds, as lines for people. */
final class TextReport implements DoctorReport {
  private final PrintWriter out;
  private int failures;
  private int operations;

  TextReport(PrintWriter out) {
    this.out = out;
  }

  private void line(String format, Object... arguments) {
    out.printf(Locale.ROOT, format + "%n", arguments);
    out.flush();
  }

  @Override
  public void machine(Machine machine, String cpu, String products) {
    line(
        "system      %s, %s, %d processors",
        machine.system(), machine.architecture(), machine.processors());
    line("Java        %s", machine.java());
    line(
        "vectors     %s",
        machine.vectorModule()
            ? "jdk.incubator.vector is there"
            : "jdk.incubator.vector is missing: start Java with --add-modules jdk.incubator.vector");
    line("CPU         %s", cpu);
    line("native code %s", products);
  }

  @Override
  public void libraries(List<Library> all) {
    for (Library library : all) {
      line("%-11s %s%s", library.name(), library.found() ? "" : "missing: ", library.text());
    }
  }

  @Override
  public void noGpu(String why) {
    line("GPU         none: %s", why);
  }

  @Override
  public void libraries(CudaLibraries libraries) {
    line("driver      for CUDA %s, %s", libraries.driverVersion(), libraries.driverWhere());
    line("cuBLASLt    %s, %s", libraries.blasVersion(), libraries.blasWhere());
  }

  @Override
  public void device(CudaDeviceInfo device) {
    failures = 0;
    operations = 0;
    line(
        "%-11s %s, compute capability %s, %d multiprocessors",
        "cuda:" + device.ordinal(),
        device.name(),
        device.computeCapability(),
        device.multiprocessors());
    line(
        "  memory    %.1f GB free of %.1f GB", device.freeBytes() / 1e9, device.totalBytes() / 1e9);
  }

  @Override
  public void rates(CudaProbe.Rates rates) {
    line(
        "  copies    %.1f GB/s on the device, %.1f GB/s to it, %.1f GB/s from it",
        rates.copy() / 1e9, rates.toDevice() / 1e9, rates.toHost() / 1e9);
    line("  products  %.1f TFLOP/s in float16", rates.product() / 1e12);
    line("  %-24s %-28s %10s %11s %7s", "operation", "shape", "error", "µs", "of limit");
  }

  @Override
  public void result(SelfTest.Result result) {
    operations++;
    failures += result.passed() ? 0 : 1;
    line(
        "  %-24s %-28s %10.1e %11.1f %6.0f%% %s",
        result.operation(),
        result.shape(),
        result.error(),
        result.micros(),
        100 * result.share(),
        result.passed() ? "" : "  WRONG: more than " + SelfTest.LIMIT);
  }

  @Override
  public void deviceEnd(boolean passed, @Nullable String error) {
    if (error != null) {
      line("  broken off: %s", error);
    }
    line(
        "  %s",
        passed
            ? "all " + operations + " checks against the CPU passed"
            : failures + " of " + operations + " checks against the CPU failed");
  }

  @Override
  public void end(boolean healthy) {
    line("%s", healthy ? "passed" : "FAILED");
  }
}
