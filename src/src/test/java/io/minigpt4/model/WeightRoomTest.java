package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.DeviceMemory;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What is said of models that a GPU is too small for. */
class WeightRoomTest {
  private static final long MB = 1_000_000;
  private static final SoftGpuOptions SMALL = SoftGpuOptions.defaults().withMemory(1000 * MB);

  private static void refused(WeightRoom room, List<Ops> devices, String... says) {
    assertThatThrownBy(() -> room.check(devices))
        .isInstanceOf(UserException.class)
        .hasMessageContainingAll(says);
  }

  @Test
  void whatWouldFitIsNamed() {
    try (SoftCuda cuda = SoftCuda.create(SMALL.withDevices(2));
        CudaOps first = cuda.open(0);
        CudaOps second = cuda.open(1)) {
      List<Ops> one = List.of(first);
      long room = first.memory().forWeights();
      assertThatCode(() -> new WeightRoom(room, room, room).check(one)).doesNotThrowAnyException();
      refused(
          new WeightRoom(900 * MB, 450 * MB + 500 * MB, 250 * MB),
          one,
          "the weights need 900.0 MB and the work beside them about 536.9 MB",
          "cuda:0",
          "free of 1.0 GB",
          "; --weights-bits 4 (250.0 MB) or a split over 3 such GPUs (--device cuda:0,1,...) would",
          "nvidia-smi",
          "--device cpu");
      refused(
          new WeightRoom(700 * MB, 400 * MB, 250 * MB),
          one,
          "; --weights-bits 8 (400.0 MB) or --weights-bits 4 (250.0 MB) or a split over 2 such GPUs"
              + " (--device cuda:0,1) would fit");
      refused(
          new WeightRoom(1800 * MB, 900 * MB, 500 * MB),
          List.of(first, second),
          "the weights on each of 2 devices need 900.0 MB",
          "--weights-bits 4 (250.0 MB) or a split over");
      refused(
          new WeightRoom(90_000 * MB, 90_000 * MB, 90_000 * MB),
          one,
          "neither fewer bits nor more GPUs like it would do");
    }
  }

  @Test
  void theModelThatIsLoadedIsMeasured() {
    long used;
    try (SoftCuda cuda = SoftCuda.create(SMALL);
        CudaOps ops = cuda.open(0)) {
      DeviceMemory memory = ops.memory();
      used = memory.total() - memory.free() + memory.beside();
    }
    // The demo's 15 MB do not fit into 13, in 8 bits they do.
    try (SoftCuda cuda = SoftCuda.create(SMALL.withMemory(used + 13 * MB));
        CudaOps ops = cuda.open(0)) {
      assertThatThrownBy(
              () -> new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null))
          .isInstanceOf(UserException.class)
          .hasMessageContainingAll("the weights need 15.", "--weights-bits 8 (", "would fit");
      Quantiser eight = new Quantiser(DType.Q8, Quantiser.DEFAULT_GROUP);
      try (MiniGpt4 model =
          new ModelLoader(List.of(ops), LoadListener.NONE, eight)
              .load(new ModelSource.BuiltIn(), null)) {
        assertThatCode(model::name).doesNotThrowAnyException();
      }
    }
  }
}
