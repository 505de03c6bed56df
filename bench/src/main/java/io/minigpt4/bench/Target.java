package io.minigpt4.bench;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.CudaLibraries;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.CudaProbe;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.function.DoubleSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The device that a benchmark computes on, and what it can do at best in the same minute. */
final class Target implements AutoCloseable {
  private static final Pattern CUDA = Pattern.compile("cuda(?::(\\d{1,3}))?");
  private static final long PROBE_BYTES = 1L << 30;
  private static final int PROBE_SIDE = 8192;

  private final Ops ops;
  private final Tensor flag;
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment value = arena.allocate(Float.BYTES, 64);
  private final boolean gpu;
  private final DoubleSupplier arithmetic;
  private final DoubleSupplier bandwidth;

  private Target(Ops ops, boolean gpu, DoubleSupplier arithmetic, DoubleSupplier bandwidth) {
    this.ops = ops;
    this.gpu = gpu;
    this.arithmetic = arithmetic;
    this.bandwidth = bandwidth;
    this.flag = ops.allocate(DType.F32, 1);
    ops.write(value, flag);
  }

  /**
   * Opens a device.
   *
   * @param name cpu, cuda or cuda:N
   * @param threads of the CPU
   * @throws UserException if there is no such device, or it cannot be used
   */
  static Target open(String name, @Nullable Path cudaPath, int threads, Clock clock) {
    if (name.equals("cpu")) {
      Probes probes = new Probes(threads, clock);
      return new Target(CpuOps.create(threads), false, probes::fmaPeak, probes::readBandwidth);
    }
    Matcher cuda = CUDA.matcher(name);
    if (!cuda.matches()) {
      throw new UserException("unknown device '" + name + "'; use cpu, cuda or cuda:1");
    }
    int ordinal = cuda.group(1) == null ? 0 : Integer.parseInt(cuda.group(1));
    CudaLibraries libraries = CudaLibraries.find(cudaPath);
    CudaProbe.Rates rates = CudaProbe.measure(libraries, ordinal, PROBE_BYTES, PROBE_SIDE);
    return new Target(
        CudaOps.open(libraries, ordinal),
        true,
        () -> 1e-9 * rates.product(),
        () -> 1e-9 * rates.copy());
  }

  Ops ops() {
    return ops;
  }

  boolean isGpu() {
    return gpu;
  }

  /** How many kernels were launched so far; 0 on the CPU. */
  long launches() {
    return ops instanceof CudaOps cuda ? cuda.launches() : 0;
  }

  /** Nanoseconds that a GPU's results were waited for so far; 0 on the CPU. */
  long waitedNanos() {
    return ops instanceof CudaOps cuda ? cuda.waitedNanos() : 0;
  }

  /** GFLOP/s: of a GPU, its large float16 matrix product, measured once. */
  double arithmetic() {
    return arithmetic.getAsDouble();
  }

  /** GB/s: of a GPU, read and written by copying, measured once. */
  double bandwidth() {
    return bandwidth.getAsDouble();
  }

  String arithmeticName() {
    return gpu ? "matrix product 8192" : "FMA peak";
  }

  String bandwidthName() {
    return gpu ? "copy bandwidth" : "read bandwidth";
  }

  /** Waits until all work so far has been done. */
  void finish() {
    ops.read(flag, value);
  }

  @Override
  public void close() {
    ops.close();
    arena.close();
  }
}
