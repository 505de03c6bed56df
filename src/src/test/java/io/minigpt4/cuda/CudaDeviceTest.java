package io.minigpt4.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.nativelib.MissingLibraryException;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.SoftDriver;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** Devices that cannot be used say why in one line; memory comes and goes. */
class CudaDeviceTest {
  private static void refused(Runnable open, String... parts) {
    assertThatThrownBy(open::run)
        .isInstanceOf(UserException.class)
        .hasMessageContainingAll(parts)
        .message()
        .doesNotContain("\n");
  }

  @Test
  void aDriverThatIsTooOldOrSeesNothing() {
    try (SoftDriver soft = SoftDriver.create(SoftGpuOptions.defaults())) {
      soft.onMessage(message -> {});
      Runnable start =
          () ->
              CudaLibraries.start(
                  soft.driver(), "here", soft.cublasLt(), "there", soft::cudnn, soft::nccl);
      soft.fail("cuInit", 1, 100);
      refused(start, "sees no GPU", "nvidia-smi", "--device cpu");
      soft.fail("cuInit", 1, 803);
      refused(start, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "--device cpu");
    }
  }

  /** R470 serves CUDA 11.4 and lacks functions that later ones have. */
  @Test
  void anOldDriver() throws ReflectiveOperationException {
    try (SoftDriver soft = SoftDriver.create(SoftGpuOptions.defaults());
        Arena arena = Arena.ofConfined()) {
      MethodHandle version =
          MethodHandles.lookup()
              .findStatic(
                  CudaDeviceTest.class,
                  "versionOfR470",
                  MethodType.methodType(int.class, MemorySegment.class));
      MemorySegment stub =
          Linker.nativeLinker()
              .upcallStub(
                  version,
                  FunctionDescriptor.of(
                      ValueLayout.JAVA_INT,
                      ValueLayout.ADDRESS.withTargetLayout(ValueLayout.JAVA_INT)),
                  arena);
      SymbolLookup r470 =
          name -> name.equals("cuDriverGetVersion") ? Optional.of(stub) : soft.driver().find(name);
      refused(
          () ->
              CudaLibraries.start(r470, "here", soft.cublasLt(), "there", soft::cudnn, soft::nccl),
          "the NVIDIA driver serves CUDA 11.4",
          "need 11.8 (R525 or later)",
          "--device cpu");
      SymbolLookup older =
          name -> name.equals("cuMemAllocAsync") ? Optional.empty() : soft.driver().find(name);
      assertThatThrownBy(
              () ->
                  CudaLibraries.start(
                      older, "here", soft.cublasLt(), "there", soft::cudnn, soft::nccl))
          .isInstanceOf(MissingLibraryException.class)
          .hasMessageContainingAll("libcuda", "cuMemAllocAsync", "install a newer version");
    }
  }

  /** Called in place of {@code cuDriverGetVersion}. */
  static int versionOfR470(MemorySegment out) {
    out.set(ValueLayout.JAVA_INT, 0, 11040);
    return 0;
  }

  @Test
  void aGpuThatIsTooOldOrNotThere() {
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withCompute(7, 5))) {
      refused(() -> cuda.open(0), "cuda:0", "compute capability 7.5", "8.0", "--device cpu");
      refused(() -> cuda.open(3), "no device cuda:3", "only cuda:0");
    }
  }

  @Test
  void aGpuThatAnotherProcessKeeps() {
    try (SoftCuda cuda = SoftCuda.create()) {
      cuda.driver().fail("cuDevicePrimaryCtxRetain", 1, 46);
      refused(() -> cuda.open(0), "CUDA_ERROR_DEVICE_UNAVAILABLE", "nvidia-smi");
      cuda.driver().fail("cublasLtCreate", 1, 1);
      refused(() -> cuda.open(0), "cuBLASLt 13.1", "software", "--cuda-path");
    }
  }

  @Test
  void tooLittleMemory() {
    long memory = 900L << 20;
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withMemory(memory));
        CudaOps ops = cuda.open(0)) {
      assertThat(ops.memory().total()).isEqualTo(memory);
      refused(
          () -> ops.allocate(DType.F16, 1 << 20, 1 << 10),
          "another 2.1 GB are needed",
          "nvidia-smi");
      assertThat(ops.allocate(DType.F16, 1 << 20).elements()).isEqualTo(1 << 20);
    }
  }

  @Test
  void weightsOfAllTypesArriveAsTheyShould() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0);
        Arena arena = Arena.ofConfined()) {
      AtomicLong heard = new AtomicLong();
      assertThat(ops.expectWeights(heard::addAndGet)).isTrue();
      // Larger than two pinned buffers, so that they are used again.
      long count = 9_000_001;
      MemorySegment floats = arena.allocate(ValueLayout.JAVA_FLOAT, count);
      for (long i = 0; i < count; i++) {
        floats.setAtIndex(ValueLayout.JAVA_FLOAT, i, i % 1000 / 8f);
      }
      Tensor vector = ops.load(Tensor.of(DType.F32, floats, count));
      Tensor matrix = ops.load(Tensor.of(DType.F32, floats, count, 1));
      assertThat(vector.dtype()).isEqualTo(DType.F32);
      assertThat(matrix.dtype()).isEqualTo(DType.F16);
      assertThat(heard).hasValue(8 * count);
      for (Tensor tensor : new Tensor[] {vector, matrix}) {
        MemorySegment back = arena.allocate(ValueLayout.JAVA_FLOAT, count);
        ops.read(tensor, back);
        assertThat(floats.mismatch(back)).isEqualTo(-1);
      }
      floats.setAtIndex(ValueLayout.JAVA_FLOAT, 5, 70_000f);
      refused(() -> ops.load(Tensor.of(DType.F32, floats, count, 1)), "65504", "--device cpu");
    }
  }

  /**
   * While the device copies one buffer the processor fills the other: nobody waits for the stream,
   * and before each copy only for what was copied from the same buffer two copies ago.
   */
  @Test
  void uploadsOverlapWithReading() {
    List<String> calls = new ArrayList<>();
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0);
        Arena arena = Arena.ofShared()) {
      long bytes = 5L * (16 << 20) + 12;
      Tensor weight = Tensor.of(DType.F16, arena.allocate(bytes, 2), bytes / 2);
      cuda.driver().onCall(calls::add);
      ops.load(weight);
      cuda.driver().onCall(call -> {});
    }
    List<String> each = List.of("cuEventSynchronize", "cuMemcpyHtoDAsync_v2", "cuEventRecord");
    List<String> expected = new ArrayList<>();
    expected.add("cuMemAlloc_v2");
    for (int i = 0; i < 6; i++) {
      expected.addAll(each);
    }
    assertThat(calls).isEqualTo(expected);
  }

  @Test
  void refusesMemoryOfOthers() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps ops = cuda.open(0);
        Arena arena = Arena.ofConfined()) {
      Tensor mine = ops.allocate(DType.F16, 2, 8);
      Tensor host = Tensor.of(DType.F16, arena.allocate(32, 64), 2, 8);
      assertThatThrownBy(() -> ops.add(mine, host))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("not in the memory of cuda:0");
    }
  }
}
