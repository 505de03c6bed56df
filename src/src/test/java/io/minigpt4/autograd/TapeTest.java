package io.minigpt4.autograd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The tape under a whole language model: gradients of a projection in front of it. */
class TapeTest {
  private static final int FEATURES = 12;
  private static final int HIDDEN = 32;
  private static final LlamaConfig CONFIG =
      new LlamaConfig(50, HIDDEN, 44, 3, 4, 2, 256, 1e-6f, 10000, 1, false, 1, 2);

  /** Two sequences: tokens and image rows in one, image rows first in the other. */
  private static final int[] IDS = {1, 7, ~0, ~1, ~2, 30, 31, 8, 9, ~3, ~4, 12, 49, 3};

  private static final int[] ROWS = {8, 6};
  private static final int[] TARGETS = {-1, -1, -1, -1, 30, 31, 8, -1, -1, -1, 12, 49, 3, 5};

  private final SplittableRandom random = new SplittableRandom(5);
  private final List<Ops> devices = new ArrayList<>();

  @AfterEach
  void close() {
    devices.forEach(Ops::close);
  }

  /** A model behind a tape, a projection before it, and their inputs. */
  private final class Setup {
    final Tape tape;
    final Llama llama;
    final float[] weights;
    final Tensor weight;
    final Tensor bias;
    final Tensor dWeight;
    final Tensor dBias;
    final Tensor features;
    final Tensor loss;
    float scale = 1;

    Setup(Ops device, boolean recompute, float[] weights, float[] features) {
      devices.add(device);
      this.tape = new Tape(device, recompute);
      this.llama = Llama.random(CONFIG, DType.F32, 11, tape);
      this.weights = weights;
      this.weight = device.allocate(DType.F32, HIDDEN, FEATURES);
      this.bias = filled(HIDDEN, 0.01f);
      this.dWeight = filled((long) HIDDEN * FEATURES, 0).reshape(HIDDEN, FEATURES);
      this.dBias = filled(HIDDEN, 0);
      this.features = device.allocate(device.activation(), 5, FEATURES);
      this.loss = device.allocate(DType.F32, 1);
      device.write(MemorySegment.ofArray(features), this.features);
      tape.train(weight, dWeight, dBias);
    }

    private Tensor filled(long elements, float value) {
      Tensor tensor = tape.allocate(DType.F32, elements);
      float[] values = new float[(int) elements];
      Arrays.fill(values, value);
      tape.write(MemorySegment.ofArray(values), tensor);
      return tensor;
    }

    /** The loss, with gradients added to those there are. */
    double run() {
      tape.write(MemorySegment.ofArray(weights), weight);
      long mark = tape.workspace().mark();
      Tensor rows = tape.workspace().take(tape.activation(), 5, HIDDEN);
      Batch batch = new Batch(2);
      KvCache[] caches = {llama.newCache(), llama.newCache()};
      batch.add(caches[0], ROWS[0]);
      batch.add(caches[1], ROWS[1]);
      tape.record();
      tape.linear(features, weight, bias, rows);
      Tensor hidden = llama.hidden(batch, IDS, rows, TARGETS);
      int[] wanted = Arrays.stream(TARGETS).filter(t -> t >= 0).toArray();
      tape.backward(hidden, llama.head(), wanted, scale, loss);
      tape.workspace().release(mark);
      caches[0].close();
      caches[1].close();
      return floats(loss)[0];
    }

    float[] floats(Tensor tensor) {
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment host = arena.allocate(4 * tensor.elements(), 4);
        tape.read(tensor, host);
        return host.toArray(ValueLayout.JAVA_FLOAT);
      }
    }
  }

  private float[] normal(int count, double deviation) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (deviation * random.nextGaussian());
    }
    return values;
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void gradientsAreFiniteDifferences(boolean recompute) {
    // Rows as small as the embedding's 0.02, where the norms make the loss curve most.
    float[] weights = normal(HIDDEN * FEATURES, 0.1);
    Setup setup = new Setup(CpuOps.createScalar(1), recompute, weights, normal(5 * FEATURES, 1));
    setup.run();
    float[] gradient = setup.floats(setup.dWeight);
    double size = Math.sqrt(dot(gradient, gradient));
    assertThat(size).isGreaterThan(1e-3);
    for (int trial = 0; trial < 5; trial++) {
      float[] direction = normal(weights.length, 1);
      if (trial == 0) {
        direction = gradient.clone();
      }
      double length = Math.sqrt(dot(direction, direction));
      double step = 0.02 / length;
      double slope = (at(setup, direction, step) - at(setup, direction, -step)) / (2 * step);
      double expected = dot(gradient, direction);
      assertThat(slope / length).isCloseTo(expected / length, within(4e-3 * size));
    }
  }

  /** The loss some way along a direction. */
  private static double at(Setup setup, float[] direction, double step) {
    float[] start = setup.weights.clone();
    for (int i = 0; i < start.length; i++) {
      setup.weights[i] += (float) (step * direction[i]);
    }
    double loss = setup.run();
    System.arraycopy(start, 0, setup.weights, 0, start.length);
    return loss;
  }

  private static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }

  @Test
  void recomputationKeepsLessAndGivesTheSame() {
    float[] weights = normal(HIDDEN * FEATURES, 0.1);
    float[] features = normal(5 * FEATURES, 1);
    Setup all = new Setup(CpuOps.create(2), false, weights, features);
    Setup little = new Setup(CpuOps.create(2), true, weights, features);
    assertThat(little.run()).isEqualTo(all.run());
    assertThat(little.floats(little.dWeight)).containsExactly(all.floats(all.dWeight));
    assertThat(little.floats(little.dBias)).containsExactly(all.floats(all.dBias));
    assertThat(little.tape.peakBytes()).isLessThan(all.tape.peakBytes() * 3 / 4);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aGpuAgreesWithTheProcessor(boolean recompute) {
    float[] weights = normal(HIDDEN * FEATURES, 0.1);
    float[] features = normal(5 * FEATURES, 1);
    Setup cpu = new Setup(CpuOps.createScalar(1), false, weights, features);
    double loss = cpu.run();
    float[] expected = cpu.floats(cpu.dWeight);
    float[] expectedBias = cpu.floats(cpu.dBias);
    try (SoftCuda cuda = SoftCuda.create()) {
      Setup gpu = new Setup(cuda.open(0), recompute, weights, features);
      gpu.scale = 1024;
      assertThat(gpu.run()).isCloseTo(loss, within(2e-3 * loss));
      Goldens.assertNear("weight", unscaled(gpu, gpu.dWeight), expected, 1e-2);
      Goldens.assertNear("bias", unscaled(gpu, gpu.dBias), expectedBias, 1e-2);
      // A scale that float16 cannot take is found out, and what comes after is not spoilt.
      gpu.scale = 1e9f;
      gpu.run();
      assertThat(gpu.tape.gradients().unscale(gpu.dWeight, 1e-9f)).isFalse();
      gpu.scale = 1024;
      gpu.tape.write(MemorySegment.ofArray(new float[weights.length]), gpu.dWeight);
      gpu.run();
      Goldens.assertNear("once more", unscaled(gpu, gpu.dWeight), expected, 1e-2);
      devices.removeLast().close();
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  private static float[] unscaled(Setup gpu, Tensor gradient) {
    assertThat(gpu.tape.gradients().unscale(gradient, 1 / gpu.scale)).isTrue();
    return gpu.floats(gradient);
  }

  @Test
  void gradientsAddUp() {
    float[] weights = normal(HIDDEN * FEATURES, 0.1);
    Setup setup = new Setup(CpuOps.create(1), false, weights, normal(5 * FEATURES, 1));
    double loss = setup.run();
    float[] once = setup.floats(setup.dWeight);
    assertThat(setup.run()).isEqualTo(loss);
    float[] twice = setup.floats(setup.dWeight);
    for (int i = 0; i < once.length; i++) {
      assertThat(twice[i]).isCloseTo(2 * once[i], within(1e-6f));
    }
  }

  @Test
  void anOperationWithoutARuleIsRefused() {
    Setup setup = new Setup(CpuOps.create(1), false, normal(HIDDEN * FEATURES, 1), new float[60]);
    Tensor rows = setup.tape.allocate(DType.F32, 5, HIDDEN);
    setup.tape.record();
    setup.tape.linear(setup.features, setup.weight, setup.bias, rows);
    assertThatThrownBy(() -> setup.tape.layerNorm(rows, setup.bias, setup.bias, 1e-5f, rows))
        .hasMessage("layerNorm has no backward rule");
  }

  @Test
  void aLossThatNothingTrainableLeadsToIsRefused() {
    Setup setup = new Setup(CpuOps.create(1), false, normal(HIDDEN * FEATURES, 1), new float[60]);
    Tensor rows = setup.tape.allocate(DType.F32, 5, HIDDEN);
    setup.tape.record();
    assertThatThrownBy(() -> setup.tape.backward(rows, setup.llama.head(), TARGETS, 1, setup.loss))
        .hasMessageContaining("nothing recorded leads");
  }
}
