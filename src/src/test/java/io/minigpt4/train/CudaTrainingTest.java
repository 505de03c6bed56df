package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.train.demo.DemoSamples;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training on a software GPU: the processor's losses, checkpoints, a loss scale that adapts. */
class CudaTrainingTest {
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

  /** What training came to: the loss of each iteration, the weight before and after. */
  private static final class Outcome {
    final List<Double> losses;
    final float[] before;
    final float[] after;

    Outcome(List<Double> losses, float[] before, float[] after) {
      this.losses = losses;
      this.before = before;
      this.after = after;
    }
  }

  private Outcome train(Ops device) throws InterruptedException {
    try (TinyTraining training = new TinyTraining(device);
        SampleLoader data = data(training)) {
      float[] before = weight(training);
      assertThat(training.run(TinyTraining.plan(folder, 1), data, Progress.START, 0)).isTrue();
      return new Outcome(training.losses, before, weight(training));
    }
  }

  private static double distance(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
    }
    return Math.sqrt(sum);
  }

  @Test
  void lossesAreTheProcessorsAndARunIsGoneOnWith() throws Exception {
    Outcome expected = train(CpuOps.createScalar(1));
    try (SoftCuda cuda = SoftCuda.create()) {
      Outcome whole = train(cuda.open(0));
      for (int i = 0; i < expected.losses.size(); i++) {
        double loss = expected.losses.get(i);
        assertThat(whole.losses.get(i)).as("iteration %d", i).isCloseTo(loss, within(2e-3 * loss));
      }
      double way = distance(expected.before, expected.after);
      assertThat(way).isPositive();
      assertThat(distance(whole.before, expected.before)).isZero();
      assertThat(distance(whole.after, expected.after)).isLessThan(0.02 * way);
      TrainingPlan plan = TinyTraining.plan(folder, 1);
      try (TinyTraining training = new TinyTraining(cuda.open(0));
          SampleLoader data = data(training)) {
        assertThat(training.run(plan, data, Progress.START, 6)).isFalse();
      }
      try (TinyTraining training = new TinyTraining(cuda.open(0));
          SampleLoader data = data(training)) {
        Progress saved = TrainingCheckpoint.restore(plan.latestFile(), training.trainer);
        data.seek(String.valueOf(saved.data()));
        assertThat(training.run(plan, data, saved, 0)).isTrue();
        assertThat(training.losses).as("to the last bit").isEqualTo(whole.losses.subList(6, 8));
      }
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  @Test
  void aScaleThatFloat16CannotTakeIsHalvedAndTheStepSkipped() throws Exception {
    try (SoftCuda cuda = SoftCuda.create();
        TinyTraining training = new TinyTraining(cuda.open(0));
        SampleLoader data = data(training)) {
      training.trainer.lossScale().restore(0x1p30, 0);
      float[] before = weight(training);
      TrainingPlan plan = TinyTraining.plan(folder, 1);
      assertThat(training.run(plan, data, Progress.START, 2)).isFalse();
      assertThat(training.losses).allMatch(Double::isFinite);
      assertThat(training.trainer.lossScale().scale()).isEqualTo(0x1p28);
      assertThat(training.trainer.steps()).isZero();
      assertThat(weight(training)).containsExactly(before);
    }
  }

  /** Gradients go through the frozen language model's matrices in 8 bits. */
  @Test
  void aFrozenModelInEightBits() throws Exception {
    Quantiser quantiser = new Quantiser(DType.Q8, Quantiser.DEFAULT_GROUP);
    List<Double> whole = losses(new TinyTraining(CpuOps.createScalar(1)));
    List<Double> onProcessor = losses(new TinyTraining(CpuOps.createScalar(1), quantiser));
    assertThat(onProcessor).isNotEqualTo(whole);
    try (SoftCuda cuda = SoftCuda.create()) {
      List<Double> onGpu = losses(new TinyTraining(cuda.open(0), quantiser));
      for (int i = 0; i < whole.size(); i++) {
        double loss = whole.get(i);
        assertThat(onProcessor.get(i)).as("iteration %d", i).isCloseTo(loss, within(5e-3 * loss));
        assertThat(onGpu.get(i))
            .as("iteration %d on a GPU", i)
            .isCloseTo(onProcessor.get(i), within(2e-3 * loss));
      }
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  private List<Double> losses(TinyTraining started) throws InterruptedException {
    try (TinyTraining training = started;
        SampleLoader data = data(training)) {
      assertThat(training.run(TinyTraining.plan(folder, 1), data, Progress.START, 3)).isFalse();
      return List.copyOf(training.losses);
    }
  }

  private static float[] weight(TinyTraining training) {
    return Tensors.read(training.trainer.ops(), training.trainer.weight().value());
  }
}
