package io.minigpt4.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.cpu.CpuOps;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Patch embedding by cuDNN, by our kernels where it is not there, and on the processor. */
class PatchConvolutionTest {
  private static final int IMAGES = 2;
  private static final int SIZE = 28;
  private static final int PATCH = 14;
  private static final int WIDTH = 24;
  private static final int PATCHES = 4;
  private static final SoftGpuOptions SMALL = SoftGpuOptions.defaults().withMemory(1L << 28);

  private final SplittableRandom random = new SplittableRandom(7);
  private final float[] pixels = values(IMAGES * 3 * SIZE * SIZE);
  private final float[] weight = values(WIDTH * 3 * PATCH * PATCH);
  private final float[] bias = values(WIDTH);
  private final float[] cls = values(WIDTH);
  private final float[] position = values((1 + PATCHES) * WIDTH);

  /** Numbers that float16 holds exactly. */
  private float[] values(int n) {
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = random.nextInt(-16, 17) / 64f;
    }
    return out;
  }

  private static Tensor put(Ops ops, Arena arena, DType type, float[] values, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    ops.write(arena.allocateFrom(ValueLayout.JAVA_FLOAT, values), tensor);
    return tensor;
  }

  private float[] embedded(Ops ops) {
    try (Arena arena = Arena.ofConfined()) {
      DType half = ops.activation();
      Tensor out = ops.allocate(half, IMAGES * (1 + PATCHES), WIDTH);
      ops.patchEmbed(
          put(ops, arena, DType.F32, pixels, IMAGES, 3, SIZE, SIZE),
          put(ops, arena, half, weight, WIDTH, 3, PATCH, PATCH),
          put(ops, arena, half, bias, WIDTH),
          put(ops, arena, half, cls, WIDTH),
          put(ops, arena, half, position, 1 + PATCHES, WIDTH),
          out);
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, out.elements());
      ops.read(out, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  @Test
  void allWaysAgree() {
    float[] expected;
    try (Ops cpu = CpuOps.createScalar(1)) {
      expected = embedded(cpu);
    }
    try (SoftCuda cuda = SoftCuda.create(SMALL);
        CudaOps ops = cuda.open(0)) {
      assertThat(embedded(ops)).containsExactly(expected, within(4e-3f));
      assertThat(embedded(ops)).containsExactly(expected, within(4e-3f));
      assertThat(cuda.driver().calls("cudnnBackendExecute")).isEqualTo(2);
      assertThat(cuda.driver().calls("cublasLtMatmul")).isZero();
      assertThat(cuda.driver().faults()).isEmpty();
    }
    try (SoftCuda cuda = SoftCuda.withoutOptionalLibraries(SMALL);
        CudaOps ops = cuda.open(0)) {
      assertThat(embedded(ops)).containsExactly(expected, within(4e-3f));
      assertThat(cuda.driver().calls("cublasLtMatmul")).isPositive();
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  /** A cuDNN that does not start, or knows no algorithm, leaves the work to our kernels. */
  @Test
  void whatCudnnCannotDoOurKernelsDo() {
    for (String call : new String[] {"cudnnCreate", "cudnnBackendFinalize"}) {
      try (SoftCuda cuda = SoftCuda.create(SMALL);
          CudaOps ops = cuda.open(0)) {
        cuda.driver().fail(call, 1, 3000);
        float[] first = embedded(ops);
        assertThat(embedded(ops)).isEqualTo(first);
        assertThat(cuda.driver().calls("cudnnBackendExecute")).isZero();
        assertThat(cuda.driver().calls("cublasLtMatmul")).isEqualTo(2);
      }
    }
  }
}
