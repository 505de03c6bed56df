package io.minigpt4.bench;

import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaModules;
import io.minigpt4.nativelib.KernelArguments;
import io.minigpt4.nativelib.NativeLibrary;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Our way to the GPU beside JCuda's. */
@Command(
    name = "jcuda",
    description =
        "What a kernel launch costs the caller, and matrix products, through java.lang.foreign and"
            + " through JCuda 12.6, whose native code needs CUDA 12's libraries.",
    mixinStandardHelpOptions = true)
final class JcudaCommand implements Callable<Integer> {
  private static final int LAUNCHES = 10_000;
  private static final String KERNEL =
      """
      .version 7.1
      .target sm_80
      .address_size 64
      .visible .entry nothing()
      {
        ret;
      }
      """;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    CudaLibraries libraries = CudaLibraries.find(options.cudaPath());
    try (CudaOps ops = CudaOps.open(libraries, 0)) {
      Report report = options.report(ops.device());
      report.fact("driver", libraries.driverVersion());
      JcudaPeer peer = null;
      try {
        peer = JcudaPeer.open(KERNEL);
      } catch (LinkageError | RuntimeException e) {
        report.fact("JCuda", "does not load: " + firstLine(e));
      }
      launches(peer, report);
      for (int side : new int[] {1024, 4096, 8192}) {
        products(ops, side, peer, report);
      }
      report.print(out);
      report.write(options.json());
    }
    return 0;
  }

  private static String firstLine(Throwable e) {
    Throwable cause = e.getCause() == null ? e : e.getCause();
    return String.valueOf(cause.getMessage()).lines().findFirst().orElse("").strip();
  }

  /** A kernel that does nothing, in the context that is current. */
  private void launches(@Nullable JcudaPeer peer, Report report) {
    NativeLibrary.Found found = NativeLibrary.CUDA_DRIVER.load(options.cudaPath());
    CudaDriver driver = new CudaDriver(found.symbols());
    CudaModules modules = new CudaModules(found.symbols());
    try (Arena arena = Arena.ofConfined()) {
      long module = modules.load(KERNEL.getBytes(StandardCharsets.US_ASCII));
      long function = modules.function(module, "nothing");
      KernelArguments none = new KernelArguments(arena, 0);
      Runnable ours = () -> modules.launch(function, 1, 1, 1, 32, 1, 1, 0, 0, none);
      for (int round = 0; round <= options.rounds(); round++) {
        double us = microseconds(driver, ours);
        double theirs = peer == null ? 0 : microseconds(driver, peer::launch);
        if (round > 0) { // The first one warms up.
          report.add("launch, java.lang.foreign", "µs", us);
          if (peer != null) {
            report.add("launch, JCuda", "µs", theirs);
          }
        }
      }
      modules.unload(module);
    }
  }

  private double microseconds(CudaDriver driver, Runnable launch) {
    driver.synchronize();
    double seconds =
        options
            .clock()
            .seconds(
                () -> {
                  for (int i = 0; i < LAUNCHES; i++) {
                    launch.run();
                  }
                });
    driver.synchronize();
    return 1e6 * seconds / LAUNCHES;
  }

  private void products(CudaOps ops, int side, @Nullable JcudaPeer peer, Report report) {
    Tensor x = ops.allocate(DType.F16, side, side);
    Tensor w = ops.allocate(DType.F16, side, side);
    Tensor out = ops.allocate(DType.F16, side, side);
    Tensor flag = ops.allocate(DType.F32, 1);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4 * x.elements(), 64);
      SplittableRandom random = new SplittableRandom(1);
      for (long i = 0; i < x.elements(); i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(-1, 1));
      }
      ops.write(values, x);
      ops.write(values, w);
      ops.write(values, flag);
      MemorySegment value = arena.allocate(4, 64);
      int times = Math.max(4, (int) (2e12 / (2.0 * side * side * side)));
      Runnable ours = () -> ops.linear(x, w, null, out);
      Runnable finish = () -> ops.read(flag, value);
      for (int round = 0; round <= options.rounds(); round++) {
        double rate = rate(side, times, ours, finish);
        double theirs =
            peer == null
                ? 0
                : rate(
                    side,
                    times,
                    () -> peer.multiply(side, w.address(), x.address(), out.address()),
                    peer::finish);
        if (round > 0) {
          report.add("product %d, java.lang.foreign".formatted(side), "GFLOP/s", rate);
          if (peer != null) {
            report.add("product %d, JCublas".formatted(side), "GFLOP/s", theirs);
          }
        }
      }
    }
  }

  private double rate(int side, int times, Runnable product, Runnable finish) {
    finish.run();
    double seconds =
        options
            .clock()
            .seconds(
                () -> {
                  for (int i = 0; i < times; i++) {
                    product.run();
                  }
                  finish.run();
                });
    return 2e-9 * side * side * side * times / seconds;
  }
}
