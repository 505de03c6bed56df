package io.minigpt4.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.testing.Golden;
import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class BeamSearchTest {
  private static final Tokenizer TOKENIZER =
      Tokenizer.load(Golden.path("tokenizer/tokenizer.model"));
  private static final int EOS = 2;
  private static final int[] PROMPT = {7, 5, 7};

  private static List<BeamSearch.Hypothesis> search(
      ToyDecoder decoder, GenerationConfig config, RandomGenerator random) {
    try (Arena arena = Arena.ofConfined();
        KvCache cache = decoder.newCache()) {
      int vocabulary = decoder.vocabularySize();
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) config.numBeams() * vocabulary);
      Batch batch = new Batch(1);
      batch.add(cache, PROMPT.length);
      decoder.forward(batch, PROMPT, null, logits);
      BeamSearch search =
          new BeamSearch(
              cache,
              vocabulary,
              2 * config.numBeams(),
              new LogitsProcessor(new LogitsProcessor.Scratch(vocabulary), config, EOS),
              config,
              new StopRule(TOKENIZER, ChatTemplate.VICUNA_V0, config, EOS),
              random);
      BeamSearch.Found found = Searches.run(search, decoder, logits);
      assertThat(cache.length()).isEqualTo(PROMPT.length);
      try (KvCache best = found.cache()) {
        int newTokens = found.hypotheses().getFirst().ids().size();
        assertThat(best.length()).isEqualTo(PROMPT.length + newTokens - 1);
      }
      return found.hypotheses();
    }
  }

  /** Every sequence up to the length, scored by its definition. */
  private static void enumerate(
      Function<int[], float[]> model,
      IntArrayList ids,
      double score,
      GenerationConfig config,
      List<BeamSearch.Hypothesis> out) {
    int length = ids.size();
    if (length > 0 && (ids.getInt(length - 1) == EOS || length == config.maxNewTokens())) {
      double divided = score / Math.pow(length, config.lengthPenalty());
      out.add(new BeamSearch.Hypothesis(ids, (float) divided));
      return;
    }
    int[] history = new int[PROMPT.length + length];
    System.arraycopy(PROMPT, 0, history, 0, PROMPT.length);
    ids.getElements(0, history, PROMPT.length, length);
    float[] logits = model.apply(history);
    double total = 0;
    for (float x : logits) {
      total += Math.exp(x);
    }
    for (int id = 0; id < logits.length; id++) {
      IntArrayList longer = new IntArrayList(ids);
      longer.add(id);
      enumerate(model, longer, score + logits[id] - Math.log(total), config, out);
    }
  }

  @Test
  void wideBeamsFindWhatTryingEverythingFinds() {
    Random random = new Random(1);
    for (int round = 0; round < 200; round++) {
      // ten beams hold all that is unfinished of three tokens out of three
      GenerationConfig config =
          GenerationConfig.builder()
              .doSample(false)
              .minNewTokens(0)
              .numBeams(10)
              .maxNewTokens(1 + random.nextInt(3))
              .lengthPenalty(random.nextInt(5) - 2)
              .build();
      Function<int[], float[]> model = ToyDecoder.random(3, round);
      List<BeamSearch.Hypothesis> all = new ArrayList<>();
      enumerate(model, new IntArrayList(), 0, config, all);
      all.sort((a, b) -> Float.compare(b.score(), a.score()));

      BeamSearch.Hypothesis found =
          search(new ToyDecoder(3, model), config, new SplittableRandom(1)).getFirst();
      assertThat(found.ids().toIntArray()).isEqualTo(all.getFirst().ids().toIntArray());
      assertThat(found.score()).isCloseTo(all.getFirst().score(), within(1e-4f));
    }
  }

  @Test
  void scoresAreThoseOfTheSequencesHoweverCachesMoved() {
    for (int round = 0; round < 50; round++) {
      GenerationConfig config =
          GenerationConfig.builder()
              .doSample(round % 2 == 1)
              .topP(1)
              .topK(0)
              .minNewTokens(0)
              .numBeams(2 + round % 4)
              .maxNewTokens(90)
              .lengthPenalty(1)
              .build();
      Function<int[], float[]> model = ToyDecoder.random(12, round);
      List<BeamSearch.Hypothesis> found =
          search(new ToyDecoder(12, model), config, new SplittableRandom(round));
      assertThat(found).isNotEmpty();
      for (BeamSearch.Hypothesis hypothesis : found) {
        assertThat(hypothesis.score())
            .isCloseTo((float) score(model, hypothesis.ids()), within(1e-3f));
      }
    }
  }

  private static double score(Function<int[], float[]> model, IntArrayList ids) {
    IntArrayList history = new IntArrayList(PROMPT);
    double sum = 0;
    for (int i = 0; i < ids.size(); i++) {
      float[] logits = model.apply(history.toIntArray());
      double total = 0;
      for (float x : logits) {
        total += Math.exp(x);
      }
      sum += logits[ids.getInt(i)] - Math.log(total);
      history.add(ids.getInt(i));
    }
    return sum / ids.size();
  }

  @Test
  void allPagesComeBack() {
    ToyDecoder decoder = new ToyDecoder(12, ToyDecoder.random(12, 9));
    GenerationConfig config =
        GenerationConfig.builder().temperature(0).numBeams(5).maxNewTokens(150).build();
    search(decoder, config, new SplittableRandom(1));
    long held = decoder.newCache().pool().allocatedBytes();
    for (int i = 0; i < 5; i++) {
      search(decoder, config, new SplittableRandom(1));
    }
    assertThat(decoder.newCache().pool().allocatedBytes()).isEqualTo(held);
  }

  @Test
  void beamSampleDrawsPairsWithoutReplacement() {
    float[] logits = {0.3f, 1.2f, -0.5f, 0.8f, -2, 0};
    double[] p = new double[logits.length];
    double total = 0;
    for (float x : logits) {
      total += Math.exp(x);
    }
    for (int i = 0; i < p.length; i++) {
      p[i] = Math.exp(logits[i]) / total;
    }
    // with one new token the first two draws are the two hypotheses
    GenerationConfig config = TestConfigs.plain().numBeams(2).maxNewTokens(1).build();
    int rounds = 20_000;
    Map<Integer, Integer> counts = new HashMap<>();
    ToyDecoder decoder = new ToyDecoder(logits.length, history -> logits);
    RandomGenerator random = new SplittableRandom(11);
    for (int i = 0; i < rounds; i++) {
      List<BeamSearch.Hypothesis> pair = search(decoder, config, random);
      assertThat(pair).hasSize(2);
      int a = pair.get(0).ids().getInt(0);
      int b = pair.get(1).ids().getInt(0);
      assertThat(a).isNotEqualTo(b);
      assertThat(pair.get(0).score()).isGreaterThanOrEqualTo(pair.get(1).score());
      counts.merge(Math.min(a, b) * 10 + Math.max(a, b), 1, Integer::sum);
    }
    for (int a = 0; a < p.length; a++) {
      for (int b = a + 1; b < p.length; b++) {
        double probability = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b]);
        double deviation = Math.sqrt(rounds * probability * (1 - probability));
        assertThat((double) counts.getOrDefault(a * 10 + b, 0))
            .as("pair %d %d", a, b)
            .isCloseTo(rounds * probability, within(4.5 * deviation));
      }
    }
  }

  @Test
  void fewPossibleTokensMeanFewBeams() {
    // all but two tokens are impossible
    ToyDecoder decoder =
        new ToyDecoder(
            9,
            history -> {
              float[] scores = new float[9];
              java.util.Arrays.fill(scores, Float.NEGATIVE_INFINITY);
              scores[4] = 1;
              scores[EOS] = 0;
              return scores;
            });
    for (boolean sample : new boolean[] {false, true}) {
      GenerationConfig config =
          TestConfigs.plain().doSample(sample).numBeams(6).maxNewTokens(5).build();
      List<BeamSearch.Hypothesis> found = search(decoder, config, new SplittableRandom(1));
      assertThat(found).isNotEmpty();
      for (BeamSearch.Hypothesis hypothesis : found) {
        assertThat(hypothesis.ids().toIntArray())
            .containsAnyOf(4, EOS)
            .doesNotContain(0, 1, 3, 5, 6, 7, 8);
      }
    }
  }
}
