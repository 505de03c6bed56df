package io.minigpt4.microbench;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The processor's small operations on one thread, at LLaMA's widths and with operands in the
 * caches: what a call costs beside the memory's bandwidth, which {@code minigpt4-bench kernels}
 * measures.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class CpuOpsBenchmark {
  private static final int WIDTH = 512;
  private static final int INNER = 1376;

  /** Rows of activations. */
  @Param({"1", "16"})
  private int rows = 1;

  private final Ops ops = CpuOps.create(1);
  private final Tensor norm = filled(DType.F32, WIDTH);
  private final Tensor f32 = filled(DType.F32, INNER, WIDTH);
  private final Tensor f16 = filled(DType.F16, INNER, WIDTH);
  private final Tensor bf16 = filled(DType.BF16, INNER, WIDTH);
  private Tensor x = norm;
  private Tensor delta = norm;
  private Tensor out = norm;
  private Tensor gate = norm;
  private Tensor up = norm;
  private Tensor product = norm;

  /** Makes activations of so many rows. */
  @Setup(Level.Trial)
  public void allocate() {
    x = filled(DType.F32, rows, WIDTH);
    delta = filled(DType.F32, rows, WIDTH);
    out = filled(DType.F32, rows, WIDTH);
    gate = filled(DType.F32, rows, INNER);
    up = filled(DType.F32, rows, INNER);
    product = filled(DType.F32, rows, INNER);
  }

  private Tensor filled(DType type, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    SplittableRandom random = new SplittableRandom(1);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      for (long i = 0; i < tensor.elements(); i++) {
        float value = (float) random.nextDouble(-0.1, 0.1);
        host.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      }
      ops.write(host, tensor);
    }
    return tensor;
  }

  /** Ends the threads. */
  @TearDown(Level.Trial)
  public void close() {
    ops.close();
  }

  @Benchmark
  public void linearF32() {
    ops.linear(x, f32, null, product);
  }

  @Benchmark
  public void linearF16() {
    ops.linear(x, f16, null, product);
  }

  @Benchmark
  public void linearBf16() {
    ops.linear(x, bf16, null, product);
  }

  @Benchmark
  public void linearPerRowF32() {
    ops.linearPerRow(x, f32, null, product);
  }

  @Benchmark
  public void rmsNorm() {
    ops.rmsNorm(x, norm, 1e-6f, out);
  }

  /** The row grows with each call, up to where float32 rounds the addition away. */
  @Benchmark
  public void addRmsNorm() {
    ops.addRmsNorm(out, delta, norm, 1e-6f, x);
  }

  @Benchmark
  public void siluMul() {
    ops.siluMul(gate, up, product);
  }
}
