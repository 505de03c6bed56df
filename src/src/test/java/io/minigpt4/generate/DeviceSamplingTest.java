package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.kernels.KernelLibrary;
import io.minigpt4.kernels.Sampling;
import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaModules;
import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.SoftDriver;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.Test;

/**
 * The kernel that samples on a GPU chooses what the host's sampler does, given the same numbers.
 */
class DeviceSamplingTest {
  private static final int EOS = 2;
  private static final int VOCABULARY = 1200;
  private static final int STEPS = 6;

  @Test
  void deviceAndHostChooseTheSameTokens() {
    GenerationConfig base =
        GenerationConfig.builder().maxNewTokens(STEPS).minNewTokens(2).seed(41).build();
    try (SoftDriver cuda = SoftDriver.create(SoftGpuOptions.defaults().withMemory(1L << 26))) {
      CudaDriver driver = new CudaDriver(cuda.driver());
      driver.init();
      driver.setCurrentContext(driver.retainPrimaryContext(driver.device(0)));
      try (KernelLibrary library = new KernelLibrary(new CudaModules(cuda.driver()))) {
        Sampling sampling = new Sampling(library);
        for (GenerationConfig config :
            new GenerationConfig[] {
              base,
              base.toBuilder().doSample(false).repetitionPenalty(1.7).build(),
              base.toBuilder().topK(0).topP(0.9).temperature(0.8).build(),
              base.toBuilder().topK(0).topP(1).build(),
              base.toBuilder().topK(7).topP(1).repetitionPenalty(2.5).build(),
              base.toBuilder().topK(VOCABULARY).topP(0.999).temperature(3).build()
            }) {
          float[] logits = logits();
          assertThat(device(cuda.gpu(0), sampling, config, logits))
              .as("%s", config)
              .containsExactly(host(config, logits));
        }
      }
      assertThat(cuda.faults()).isEmpty();
    }
  }

  /** Some of them equal, eos the highest. */
  private static float[] logits() {
    Random random = new Random(5);
    float[] out = new float[VOCABULARY];
    for (int i = 0; i < out.length; i++) {
      out[i] = Math.round(random.nextGaussian() * 40) / 16f;
    }
    out[EOS] = 11;
    return out;
  }

  private static int[] host(GenerationConfig config, float[] logits) {
    LogitsProcessor processor =
        new LogitsProcessor(new LogitsProcessor.Scratch(VOCABULARY), config, EOS);
    PhiloxGenerator random = new PhiloxGenerator(config.seed());
    IntList tokens = new IntArrayList();
    for (int step = 0; step < STEPS; step++) {
      float[] scores = logits.clone();
      processor.process(scores, tokens);
      tokens.add(
          config.samples() ? processor.sample(scores, random) : LogitsProcessor.argmax(scores));
    }
    return tokens.toIntArray();
  }

  private static int[] device(
      SoftGpu gpu, Sampling sampling, GenerationConfig config, float[] logits) {
    byte[] state = new byte[Math.toIntExact(Sampling.stateBytes(1, STEPS))];
    Sampling.state(
        MemorySegment.ofArray(state),
        config.samples() ? (float) config.temperature() : 0,
        config.topK(),
        config.topP(),
        (float) config.repetitionPenalty(),
        config.minNewTokens(),
        new int[] {EOS},
        config.seed(),
        STEPS);
    long own = put(gpu, MemorySegment.ofArray(state));
    long states = put(gpu, MemorySegment.ofArray(new long[] {own}));
    long scratch = gpu.alloc(Sampling.scratchBytes(1, VOCABULARY));
    long token = gpu.alloc(4);
    int[] tokens = new int[STEPS];
    for (int step = 0; step < STEPS; step++) {
      long scores = put(gpu, MemorySegment.ofArray(logits));
      sampling.sample(0, scores, VOCABULARY, 1, VOCABULARY, states, scratch, token);
      gpu.free(scores);
      gpu.copyFromDevice(MemorySegment.ofArray(tokens).asSlice(4L * step, 4), token);
    }
    return tokens;
  }

  private static long put(SoftGpu gpu, MemorySegment values) {
    long address = gpu.alloc(values.byteSize());
    gpu.copyToDevice(address, values);
    return address;
  }
}
