package io.minigpt4.cli;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.CudaDeviceInfo;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.CudaProbe;
import io.minigpt4.nativelib.NativeException;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code doctor}: what this machine can do, and whether it does it right. */
@Command(
    name = "doctor",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description =
        "Tells what this machine can compute on, measures it, and checks every operation of its"
            + " GPUs against the CPU.",
    footer = {
      "",
      "Exit code: 0 if what is there works, 1 if an operation fails or a GPU that is there cannot"
          + " be used, 2 for wrong usage."
    })
final class DoctorCommand implements Callable<Integer> {
  private static final long PROBE_BYTES = 512L << 20;
  private static final int PROBE_SIDE = 8192;
  private static final long QUICK_BYTES = 1 << 20;
  private static final int QUICK_SIDE = 64;

  /** Output formats. */
  enum Output {
    text,
    json
  }

  @Option(
      names = "--output",
      paramLabel = "FORMAT",
      description = "text, or json: one object with all that was found. Default: text.")
  private Output output = Output.text;

  @Option(
      names = "--device",
      paramLabel = "DEVICE",
      defaultValue = "auto",
      description = "auto for all GPUs, cpu to leave GPUs alone, or some, as cuda:0,1.")
  private String device = "auto";

  @Option(
      names = "--cuda-path",
      paramLabel = "FOLDER",
      description = "Where to look first for NVIDIA's libraries.")
  private @Nullable Path cudaPath;

  @Option(names = "--quick", description = "Small shapes only: right or wrong, not how fast.")
  private boolean quick;

  @Spec private CommandSpec spec = CommandSpec.create();
  private final Devices.Finder finder;

  DoctorCommand() {
    this(Devices.SYSTEM);
  }

  /**
   * @param finder finds NVIDIA's libraries
   */
  DoctorCommand(Devices.Finder finder) {
    this.finder = finder;
  }

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    DoctorReport report = output == Output.json ? new JsonReport(out) : new TextReport(out);
    boolean healthy = true;
    try (CpuOps cpu = CpuOps.create(0)) {
      report.machine(Machine.here(), cpu.device(), CpuOps.nativeProducts());
      if (!device.equals("cpu")) {
        report.libraries(finder.all(cudaPath));
        healthy = examineGpus(report, cpu);
      }
    }
    report.end(healthy);
    out.flush();
    return healthy ? Commands.DONE : Commands.FAILED;
  }

  private boolean examineGpus(DoctorReport report, CpuOps cpu) {
    List<Integer> asked = device.equals("auto") ? null : Devices.ordinals(device);
    CudaLibraries libraries;
    try {
      libraries = finder.find(cudaPath);
    } catch (UserException e) {
      report.noGpu(String.valueOf(e.getMessage()));
      // A GPU that is there but cannot be used, or one that was asked for, is a failure.
      return asked == null && !finder.hasTrace();
    }
    report.libraries(libraries);
    boolean healthy = true;
    List<Integer> all = asked == null ? new ArrayList<>() : asked;
    for (int i = 0; asked == null && i < libraries.deviceCount(); i++) {
      all.add(i);
    }
    for (int ordinal : all) {
      healthy &= examine(report, cpu, libraries, ordinal);
    }
    return healthy;
  }

  private boolean examine(DoctorReport report, CpuOps cpu, CudaLibraries libraries, int ordinal) {
    try {
      report.device(CudaDeviceInfo.of(libraries, ordinal));
      CudaProbe.Rates rates =
          CudaProbe.measure(
              libraries,
              ordinal,
              quick ? QUICK_BYTES : PROBE_BYTES,
              quick ? QUICK_SIDE : PROBE_SIDE);
      report.rates(rates);
      try (CudaOps ops = CudaOps.open(libraries, ordinal)) {
        List<SelfTest.Result> results =
            new SelfTest(cpu, ops, rates.copy(), rates.product(), report::result).run(!quick);
        boolean passed = results.stream().allMatch(SelfTest.Result::passed);
        report.deviceEnd(passed, null);
        return passed;
      }
    } catch (UserException | NativeException e) {
      report.deviceEnd(false, e.getMessage());
      return false;
    }
  }
}
