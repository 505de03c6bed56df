package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.sun.management.ThreadMXBean;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import io.minigpt4.testing.Golden.Json;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class LogitsProcessorTest {
  private static final int EOS = 2;

  @Test
  void processesAsTransformersDoes() {
    Json golden = Golden.json("generation/processors.json");
    int vocabulary = golden.get("vocabulary").integer();
    try (SafeTensors tensors = SafeTensors.open(Golden.path("generation/processors.safetensors"))) {
      for (Json one : golden.get("cases").list()) {
        String name = one.get("case").string();
        float[] scores = floats(tensors, name + "/logits");
        float[] expected = floats(tensors, name + "/processed");
        GenerationConfig config = TestConfigs.of(one.get("options"));
        LogitsProcessor processor =
            new LogitsProcessor(new LogitsProcessor.Scratch(vocabulary), config, EOS);
        processor.process(scores, IntArrayList.wrap(one.get("ids").integers()));
        processor.warp(scores);
        if (name.endsWith("/ties")) {
          // which of equal scores top-p drops is not defined
          Arrays.sort(scores);
          Arrays.sort(expected);
        }
        assertThat(scores).as("%s %s", name, one.get("options")).containsExactly(expected);
      }
    }
  }

  private static float[] floats(SafeTensors tensors, String name) {
    return tensors.tensor(name).segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  @Test
  void topPWithAndWithoutTopKAgreeWithTheDefinition() {
    SplittableRandom random = new SplittableRandom(1);
    for (int round = 0; round < 300; round++) {
      int vocabulary = 1 + random.nextInt(60);
      float[] logits = new float[vocabulary];
      for (int i = 0; i < vocabulary; i++) {
        logits[i] = (float) random.nextDouble(-6, 6);
      }
      double p = random.nextDouble(0.01, 0.999);
      float[] expected = topP(logits, p);
      for (int k : new int[] {0, vocabulary}) {
        float[] scores = logits.clone();
        new LogitsProcessor(
                new LogitsProcessor.Scratch(vocabulary),
                TestConfigs.plain().topP(p).topK(k).build(),
                new int[0])
            .warp(scores);
        assertThat(scores).containsExactly(expected);
      }
    }
  }

  /** Keeps the smallest set of the most likely tokens whose probability reaches p. */
  private static float[] topP(float[] logits, double p) {
    double total = 0;
    for (float x : logits) {
      total += Math.exp(x);
    }
    float[] kept = new float[logits.length];
    Arrays.fill(kept, Float.NEGATIVE_INFINITY);
    double reached = 0;
    while (reached < p) {
      int best = -1;
      for (int i = 0; i < logits.length; i++) {
        if (kept[i] == Float.NEGATIVE_INFINITY && (best < 0 || logits[i] > logits[best])) {
          best = i;
        }
      }
      kept[best] = logits[best];
      reached += Math.exp(logits[best]) / total;
    }
    return kept;
  }

  @Test
  void drawsWithTheProbabilitiesOfSoftmax() {
    float[] logits = {0.5f, -1, 2, 0, -3, 1.5f, Float.NEGATIVE_INFINITY, 0.25f};
    for (int topK : new int[] {0, 3}) {
      for (double topP : new double[] {1, 0.8}) {
        for (double temperature : new double[] {1, 0.7}) {
          GenerationConfig config =
              TestConfigs.plain().topK(topK).topP(topP).temperature(temperature).build();
          assertDraws(logits, config);
        }
      }
    }
  }

  private static void assertDraws(float[] logits, GenerationConfig config) {
    LogitsProcessor processor =
        new LogitsProcessor(new LogitsProcessor.Scratch(logits.length), config, EOS);
    float[] allowed = logits.clone();
    processor.warp(allowed);
    double total = 0;
    for (float x : allowed) {
      total += Math.exp(x);
    }
    int draws = 100_000;
    int[] counts = new int[logits.length];
    RandomGenerator random = new SplittableRandom(5);
    for (int i = 0; i < draws; i++) {
      counts[processor.sample(logits.clone(), random)]++;
    }
    for (int i = 0; i < logits.length; i++) {
      double probability = Math.exp(allowed[i]) / total;
      double deviation = Math.sqrt(draws * probability * (1 - probability));
      assertThat((double) counts[i])
          .as("token %d of %s", i, config)
          .isCloseTo(draws * probability, within(4.5 * deviation));
    }
  }

  @Test
  void logSoftmaxSumsToOne() {
    float[] scores = {1000, 999, -5, Float.NEGATIVE_INFINITY};
    LogitsProcessor.logSoftmax(scores);
    assertThat(scores[0]).isCloseTo((float) -Math.log(1 + Math.exp(-1)), within(1e-6f));
    assertThat(scores[1]).isCloseTo(scores[0] - 1, within(1e-6f));
    assertThat(scores[3]).isEqualTo(Float.NEGATIVE_INFINITY);
  }

  @Test
  void theFirstOfEqualScoresIsTheGreedyChoice() {
    assertThat(LogitsProcessor.argmax(new float[] {-1, 3, Float.NaN, 3})).isEqualTo(1);
  }

  @Test
  void scoresThatAreNoNumbersAreReported() {
    float[][] broken = {
      {Float.NaN, Float.NaN},
      {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY},
      {0, Float.POSITIVE_INFINITY}
    };
    for (float[] scores : broken) {
      assertThatThrownBy(() -> LogitsProcessor.argmax(scores))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("not finite");
      assertThatThrownBy(
              () ->
                  new LogitsProcessor(
                          new LogitsProcessor.Scratch(2), TestConfigs.plain().build(), EOS)
                      .sample(scores, new SplittableRandom(1)))
          .isInstanceOf(UserException.class);
    }
  }

  /** As on devices, which choose neither NaN nor −∞. */
  @Test
  void aScoreThatIsNoNumberIsAsGoodAsNone() {
    float[] logits = {0.5f, Float.NaN, 2, Float.NaN, 1, -3};
    float[] without = logits.clone();
    without[1] = Float.NEGATIVE_INFINITY;
    without[3] = Float.NEGATIVE_INFINITY;
    for (int topK : new int[] {0, 1, 3, 50}) {
      for (double topP : new double[] {0.5, 0.9, 1}) {
        GenerationConfig config = TestConfigs.plain().topK(topK).topP(topP).build();
        LogitsProcessor processor =
            new LogitsProcessor(new LogitsProcessor.Scratch(logits.length), config, EOS);
        SplittableRandom random = new SplittableRandom(4);
        SplittableRandom sameRandom = new SplittableRandom(4);
        for (int i = 0; i < 50; i++) {
          float[] scores = logits.clone();
          processor.process(scores, IntList.of());
          int id = processor.sample(scores, random);
          assertThat(id)
              .as("top-k %d, top-p %s", topK, topP)
              .isEqualTo(processor.sample(without.clone(), sameRandom));
        }
      }
    }
    assertThat(LogitsProcessor.logTotal(logits.clone()))
        .isEqualTo(LogitsProcessor.logTotal(without));
    float[] listed = logits.clone();
    double total = LogitsProcessor.logTotal(listed);
    assertThat(LogitsProcessor.highest(listed, 6, total))
        .isEqualTo(LogitsProcessor.highest(without, 6, total));
  }

  @Test
  void choosingATokenAllocatesNothing() {
    GenerationConfig config =
        TestConfigs.plain().topP(0.9).topK(50).repetitionPenalty(1.1).temperature(0.8).build();
    int vocabulary = 32_000;
    LogitsProcessor processor =
        new LogitsProcessor(new LogitsProcessor.Scratch(vocabulary), config, EOS);
    float[] logits = new float[vocabulary];
    SplittableRandom random = new SplittableRandom(3);
    IntList ids = IntArrayList.of(5, 6, 7);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = 0;
    for (int i = 0; i < 60; i++) {
      for (int j = 0; j < vocabulary; j++) {
        logits[j] = (float) random.nextDouble(-9, 9);
      }
      if (i == 30) {
        before = threads.getCurrentThreadAllocatedBytes();
      }
      processor.process(logits, ids);
      processor.sample(logits, random);
    }
    long allocated = threads.getCurrentThreadAllocatedBytes() - before;
    assertThat(allocated).as("bytes in 30 draws").isLessThan(30 * 100);
  }
}
