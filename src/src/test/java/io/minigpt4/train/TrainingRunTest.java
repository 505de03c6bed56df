package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.TorchWriter;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import io.minigpt4.train.demo.DemoSamples;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The loop, its checkpoints, and going on from them. */
class TrainingRunTest {
  @TempDir private Path folder;

  private static SampleLoader data(TinyTraining training) {
    return new SampleLoader(
        new DemoSamples(
            new DemoSamples.Setup(1, 3, 6), 0, 1, training.builder(), training.images(), null),
        2,
        3,
        (name, problem) -> {
          throw new AssertionError(name + ": " + problem);
        });
  }

  private List<Double> wholeRun(TrainingPlan plan) throws InterruptedException {
    try (TinyTraining training = new TinyTraining();
        SampleLoader data = data(training)) {
      assertThat(training.run(plan, data, Progress.START, 0)).isTrue();
      return training.losses;
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1", "3, 1", "5, 1", "7, 1", "2, 2", "6, 2"})
  void aResumedRunIsTheUninterruptedOne(int stopAfter, int accumulate) throws Exception {
    Path whole = Files.createDirectory(folder.resolve("whole"));
    List<Double> expected = wholeRun(TinyTraining.plan(whole, accumulate));
    assertThat(expected).hasSize(8).doesNotHaveDuplicates();

    TrainingPlan plan = TinyTraining.plan(folder, accumulate);
    try (TinyTraining training = new TinyTraining();
        SampleLoader data = data(training)) {
      assertThat(training.run(plan, data, Progress.START, stopAfter)).isFalse();
      assertThat(training.losses).isEqualTo(expected.subList(0, stopAfter));
    }
    try (TinyTraining training = new TinyTraining();
        SampleLoader data = data(training)) {
      Progress saved = TrainingCheckpoint.restore(plan.latestFile(), training.trainer);
      data.seek(String.valueOf(saved.data()));
      assertThat(training.run(plan, data, saved, 0)).isTrue();
      assertThat(training.losses).isEqualTo(expected.subList(stopAfter, 8));
    }
    assertThat(Files.readAllBytes(plan.epochFile(1)))
        .isEqualTo(Files.readAllBytes(whole.resolve("checkpoint_1.pth")));
  }

  @Test
  void checkpointsAreThePythonVersions() throws Exception {
    TrainingPlan plan = TinyTraining.plan(folder, 1);
    wholeRun(plan);
    try (Checkpoint checkpoint = Checkpoints.open(plan.epochFile(0))) {
      assertThat(checkpoint.names())
          .containsExactly(
              "llama_proj.weight",
              "llama_proj.bias",
              "optimizer.state.0.step",
              "optimizer.state.0.exp_avg",
              "optimizer.state.0.exp_avg_sq",
              "optimizer.state.1.step",
              "optimizer.state.1.exp_avg",
              "optimizer.state.1.exp_avg_sq");
      assertThat(checkpoint.shape("llama_proj.weight")).containsExactly(128, 128);
      assertThat(checkpoint.metadata())
          .containsEntry("epoch", "0")
          .containsEntry("optimizer.param_groups.0.weight_decay", "0.05")
          .containsEntry("optimizer.param_groups.1.params.0", "1");
      assertThat(Tensors.floats(checkpoint.tensor("optimizer.state.0.step"))).containsExactly(4);
    }
  }

  @Test
  void thePythonVersionsCheckpointIsGoneOnFrom() {
    try (TinyTraining training = new TinyTraining();
        Checkpoint golden = Checkpoints.open(Golden.path("tiny/pretrained_minigpt4.pth"))) {
      Progress progress =
          TrainingCheckpoint.restore(Golden.path("tiny/pretrained_minigpt4.pth"), training.trainer);
      assertThat(progress).isEqualTo(new Progress(5, 0, 0, null));
      assertThat(training.trainer.steps()).isEqualTo(1);
      assertThat(Tensors.floats(training.trainer.weight().value()))
          .containsExactly(Tensors.floats(golden.tensor("llama_proj.weight")));
      assertThat(Tensors.floats(training.trainer.bias().v()))
          .containsExactly(Tensors.floats(golden.tensor("optimizer.state.1.exp_avg_sq")));
    }
  }

  @Test
  void aProjectionAloneIsNothingToGoOnFrom() throws InterruptedException {
    wholeRun(TinyTraining.plan(folder, 1));
    try (TinyTraining training = new TinyTraining()) {
      assertThatThrownBy(
              () ->
                  TrainingCheckpoint.restore(
                      Golden.path("tiny/llama_float32_safetensors"), training.trainer))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("has no 'llama_proj.weight'");
    }
  }

  @Test
  void aWriteThatFailsLeavesTheOldCheckpointAndNothingElse() throws Exception {
    TrainingPlan plan = TinyTraining.plan(folder, 1);
    wholeRun(plan);
    byte[] before = Files.readAllBytes(plan.epochFile(1));
    try (TinyTraining training = new TinyTraining()) {
      Object unwritable = new Object();
      assertThatThrownBy(
              () ->
                  TrainingCheckpoint.write(
                      plan.epochFile(1), training.trainer, Progress.START, 1, 0, unwritable))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(
              () ->
                  TrainingCheckpoint.write(
                      folder.resolve("none/x.pth"), training.trainer, Progress.START, 1, 0, null))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("cannot be written");
    }
    assertThat(Files.readAllBytes(plan.epochFile(1))).isEqualTo(before);
    assertThat(files()).containsExactlyInAnyOrder("checkpoint_0.pth", "checkpoint_1.pth");
  }

  @Test
  void checkpointsThatLeaveNothingToDoAreRefused() {
    LearningRate rate = new LearningRate(1e-2, 1e-3, 1e-3, 2, 2, 4);
    Path file = Path.of("x.pth");
    new Progress(1, 3, 0, null).requireWithin(rate, file);
    assertThatThrownBy(() -> new Progress(2, 0, 0, null).requireWithin(rate, file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("x.pth was saved after 2 epochs");
    assertThatThrownBy(() -> new Progress(1, 4, 0, null).requireWithin(rate, file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("x.pth was saved after 4 iterations of an epoch");
  }

  @Test
  void placesThatAreNoCountsAreRefused() throws Exception {
    TrainingPlan plan = TinyTraining.plan(folder, 1);
    Path file = plan.latestFile();
    try (TinyTraining training = new TinyTraining()) {
      Progress behind = new Progress(0, -1, 0, "0");
      TrainingCheckpoint.write(file, training.trainer, behind, 0, 1e-3, null);
      assertThatThrownBy(() -> TrainingCheckpoint.restore(file, training.trainer))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("'minigpt4_engine.next_iteration'")
          .hasMessageContaining("is no count");
    }
  }

  /** However short: never anything but a message that names the file. */
  @Test
  void truncatedCheckpointsAreRefused() throws Exception {
    TrainingPlan plan = TinyTraining.plan(folder, 1);
    Path file = plan.latestFile();
    try (TinyTraining training = new TinyTraining()) {
      TrainingCheckpoint.write(file, training.trainer, Progress.START, 0, 1e-3, null);
      byte[] whole = Files.readAllBytes(file);
      for (int length = 0; length < whole.length; length += whole.length / 29) {
        Files.write(file, Arrays.copyOf(whole, length));
        assertThatThrownBy(() -> TrainingCheckpoint.restore(file, training.trainer))
            .as("%d bytes", length)
            .isInstanceOf(UserException.class)
            .hasMessageContaining(file.toString());
      }
    }
  }

  @Test
  void aCheckpointOfAnotherModelIsRefused() {
    Path file = TinyTraining.plan(folder, 1).latestFile();
    try (TinyTraining training = new TinyTraining();
        Arena arena = Arena.ofConfined()) {
      Tensor narrow = Tensor.of(DType.F32, arena.allocate(4 * 128 * 64, 64), 128, 64);
      TorchWriter.write(file, Map.of("model", Map.of("llama_proj.weight", narrow)));
      float[] before = Tensors.floats(training.trainer.weight().value());
      assertThatThrownBy(() -> TrainingCheckpoint.restore(file, training.trainer))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("in " + file + " has the shape [128, 64] where [128, 128]")
          .hasMessageContaining("is this file for another model?");
      assertThat(Tensors.floats(training.trainer.weight().value())).containsExactly(before);
    }
  }

  /** A bit that has flipped anywhere is told, or makes no difference. */
  @Test
  void damagedCheckpointsAreRefused() throws Exception {
    Path file = TinyTraining.plan(folder, 1).latestFile();
    try (TinyTraining training = new TinyTraining()) {
      TrainingCheckpoint.write(file, training.trainer, Progress.START, 0, 1e-3, null);
      byte[] whole = Files.readAllBytes(file);
      float[] weight = Tensors.floats(training.trainer.weight().value());
      int refused = 0;
      for (int at = 0; at < whole.length; at += whole.length / 97) {
        byte[] damaged = whole.clone();
        damaged[at] ^= 4;
        Files.write(file, damaged);
        try {
          TrainingCheckpoint.restore(file, training.trainer);
        } catch (UserException e) {
          assertThat(e).hasMessageContaining(file.toString());
          refused++;
        }
        assertThat(Tensors.floats(training.trainer.weight().value())).containsExactly(weight);
      }
      assertThat(refused).isGreaterThan(90);
    }
  }

  private List<String> files() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> String.valueOf(file.getFileName())).toList();
    }
  }

  /** Pixels that are no numbers make the loss none. */
  @Test
  void aLossThatIsNoNumberStopsTheRun() throws Exception {
    try (TinyTraining training = new TinyTraining()) {
      int size = training.images().size();
      SampleSource broken =
          new SampleSource() {
            @Override
            public Draw next() {
              return new Draw() {
                @Override
                public String name() {
                  return "nan";
                }

                @Override
                public Sample load() {
                  MemorySegment pixels = Arena.ofAuto().allocate(12L * size * size, 4);
                  pixels.fill((byte) 0xFF);
                  return new Sample(null, pixels, training.builder().caption("two stars"));
                }
              };
            }

            @Override
            public String position() {
              return "";
            }

            @Override
            public void seek(String position) {}
          };
      try (SampleLoader data = new SampleLoader(broken, 1, 1, (n, p) -> {})) {
        assertThatThrownBy(
                () -> training.run(TinyTraining.plan(folder, 1), data, Progress.START, 0))
            .isInstanceOf(UserException.class)
            .hasMessageContaining("the loss is NaN in iteration 1");
      }
    }
    assertThat(files()).isEmpty();
  }

  @Test
  void theLossScaleHalvesAndDoubles() {
    LossScale scale = new LossScale(true);
    assertThat(scale.scale()).isEqualTo(65536);
    scale.update(false);
    assertThat(scale.scale()).isEqualTo(32768);
    for (int i = 0; i < 1999; i++) {
      scale.update(true);
    }
    assertThat(scale.scale()).isEqualTo(32768);
    scale.update(true);
    assertThat(scale.scale()).isEqualTo(65536);
    LossScale off = new LossScale(false);
    off.update(false);
    assertThat(off.scale()).isEqualTo(1);
  }
}
