package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Sampling on the device against its definition, sorted lists in double. */
class SamplingTest extends KernelTest {
  private final Sampling sampling = new Sampling(device.library);

  /** What a row is sampled with. */
  private record Settings(
      float temperature, int topK, double topP, float penalty, int minNewTokens, long seed) {}

  private static final int CAPACITY = 8;

  /** Samples {@code steps} tokens of each row, from the same logits each time. */
  private int[][] sample(Settings settings, float[][] logits, int steps, int... eos) {
    int rows = logits.length;
    int vocabulary = logits[0].length;
    long[] states = new long[rows];
    for (int r = 0; r < rows; r++) {
      byte[] state = new byte[Math.toIntExact(Sampling.stateBytes(eos.length, CAPACITY))];
      Sampling.state(
          MemorySegment.ofArray(state),
          settings.temperature,
          settings.topK,
          settings.topP,
          settings.penalty,
          settings.minNewTokens,
          eos,
          settings.seed + r,
          CAPACITY);
      states[r] = device.put(state);
    }
    long stateAddresses = device.put(states);
    long scratch = device.soft.gpu(0).alloc(Sampling.scratchBytes(rows, vocabulary));
    long tokens = device.put(new int[rows]);
    float[] flat = new float[rows * vocabulary];
    for (int r = 0; r < rows; r++) {
      System.arraycopy(logits[r], 0, flat, r * vocabulary, vocabulary);
    }
    int[][] out = new int[rows][steps];
    for (int step = 0; step < steps; step++) {
      Device.Array scores = device.put(Element.F32, flat);
      sampling.sample(
          0, scores.address(), vocabulary, rows, vocabulary, stateAddresses, scratch, tokens);
      int[] ids = device.ints(tokens, rows);
      for (int r = 0; r < rows; r++) {
        out[r][step] = ids[r];
      }
    }
    for (int r = 0; r < rows; r++) {
      int[] kept = device.ints(states[r] + Sampling.stateBytes(eos.length, 0), CAPACITY);
      for (int step = 0; step < Math.min(steps, CAPACITY); step++) {
        assertThat(kept[step]).isEqualTo(Math.max(0, out[r][step]));
      }
    }
    return out;
  }

  /** The definition. */
  private static int[] wanted(Settings settings, float[] logits, long seed, int steps, int... eos) {
    List<Integer> history = new ArrayList<>();
    for (int step = 0; step < steps; step++) {
      float[] scores = logits.clone();
      for (int id : history.stream().distinct().toList()) {
        scores[id] = scores[id] < 0 ? scores[id] * settings.penalty : scores[id] / settings.penalty;
      }
      for (int id : eos) {
        scores[id] = step < settings.minNewTokens ? Float.NEGATIVE_INFINITY : scores[id];
      }
      history.add(choose(settings, scores, Philox.uniform(seed, step)));
    }
    return history.stream().mapToInt(i -> i).toArray();
  }

  private static int choose(Settings settings, float[] scores, double uniform) {
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < scores.length; i++) {
      scores[i] = settings.temperature == 0 ? scores[i] : scores[i] / settings.temperature;
      if (scores[i] > Float.NEGATIVE_INFINITY) {
        order.add(i);
      }
    }
    List<Integer> byId = List.copyOf(order);
    order.sort(Comparator.comparingDouble((Integer i) -> 0.0 - scores[i]).thenComparing(i -> i));
    float highest = scores[order.getFirst()];
    if (settings.temperature == 0) {
      return order.getFirst();
    }
    if (settings.topK == 0 && settings.topP >= 1) {
      order = byId;
    }
    if (settings.topK > 0 && settings.topK < order.size()) {
      float last = scores[order.get(settings.topK - 1)];
      order.removeIf(i -> scores[i] < last);
    }
    if (settings.topP < 1) {
      double limit = settings.topP * sum(order, scores, highest);
      int n = 0;
      for (double before = 0; n < order.size() && before < limit; n++) {
        before += Math.exp((double) scores[order.get(n)] - highest);
      }
      order = order.subList(0, n);
    }
    double left = uniform * sum(order, scores, highest);
    int at = 0;
    while (at < order.size() - 1) {
      left -= Math.exp((double) scores[order.get(at)] - highest);
      if (left < 0) {
        break;
      }
      at++;
    }
    return order.get(at);
  }

  private static double sum(List<Integer> order, float[] scores, float highest) {
    return order.stream().mapToDouble(i -> Math.exp((double) scores[i] - highest)).sum();
  }

  private void check(Settings settings, float[][] logits, int steps, int... eos) {
    int[][] tokens = sample(settings, logits, steps, eos);
    for (int r = 0; r < logits.length; r++) {
      assertThat(tokens[r])
          .as("row %d, %s", r, settings)
          .isEqualTo(wanted(settings, logits[r], settings.seed + r, steps, eos));
    }
  }

  private float[] logits(int n, double deviation) {
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = (float) (random.nextGaussian() * deviation);
    }
    return out;
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0, 1",
    "1, 0, 1",
    "0.7, 50, 0.9",
    "1, 50, 1",
    "1.3, 0, 0.9",
    "1, 1, 0.5",
    "2, 0, 0.999",
    "1, 3, 0.01",
    "1, 5000, 0.95",
    "0.00001, 0, 0.5"
  })
  void everySetting(float temperature, int topK, double topP) {
    Settings settings = new Settings(temperature, topK, topP, 1, 0, 7L << 40);
    check(settings, new float[][] {logits(3001, 3), logits(3001, 0.1)}, 2);
    check(settings, new float[][] {logits(1, 3), logits(1, 3)}, 1);
    check(settings, new float[][] {logits(1023, 2)}, 2);
  }

  @Test
  void vocabularyOfVicuna() {
    float[][] logits = {logits(32001, 3)};
    check(new Settings(1, 0, 0.9, 1, 0, -5), logits, 1);
    check(new Settings(1, 50, 0.9, 1, 0, 3), logits, 1);
  }

  /** Top-p keeps most tokens, which takes many batches. */
  @Test
  void flatScores() {
    check(new Settings(1, 0, 0.9, 1, 0, 11), new float[][] {logits(7001, 0.01)}, 2);
  }

  /** Equal scores, more than a batch holds, one thread's stretch holding the highest ones. */
  @Test
  void tiesAndClusters() {
    float[] equal = new float[4500];
    float[] clusters = new float[4500];
    for (int i = 0; i < clusters.length; i++) {
      clusters[i] = i % 1024 < 300 ? 4 + i % 3 : -i % 7;
    }
    for (Settings settings :
        List.of(
            new Settings(1, 0, 0.8, 1, 0, 1),
            new Settings(1, 40, 0.9, 1, 0, 2),
            new Settings(1, 0, 1, 1, 0, 3),
            new Settings(0, 0, 1, 1, 0, 4))) {
      check(settings, new float[][] {equal, clusters}, 2);
    }
  }

  @Test
  void penaltyAndLeastNumberOfTokens() {
    float[] scores = logits(500, 1);
    scores[17] = 9;
    scores[30] = -0f;
    check(new Settings(0, 0, 1, 1.8f, 2, 1), new float[][] {scores, scores.clone()}, 8, 17, 18);
    check(new Settings(1, 20, 0.9, 2.5f, 0, 1), new float[][] {scores}, 8, 17);
  }

  @Test
  void ordersZerosOfEitherSignAsEqual() {
    assertThat(sample(new Settings(0, 0, 1, 1, 0, 1), new float[][] {{-1, -0f, 0f}}, 1)[0])
        .containsExactly(1);
  }

  @Test
  void scoresThatAreNoNumbers() {
    float inf = Float.POSITIVE_INFINITY;
    float nan = Float.NaN;
    for (float temperature : new float[] {0, 1}) {
      Settings settings = new Settings(temperature, 5, 0.9, 1, 0, 1);
      assertThat(sample(settings, new float[][] {{nan, -inf, nan}}, 1)[0]).containsExactly(-1);
      assertThat(sample(settings, new float[][] {{1, inf, 2}}, 2)[0]).containsExactly(-1, -1);
      assertThat(sample(settings, new float[][] {{nan, -3, -inf}}, 1)[0]).containsExactly(1);
    }
  }

  /** Rows of other business: their scores and their places among the tokens stay as they are. */
  @Test
  void rowsWithoutAState() {
    byte[] state = new byte[Math.toIntExact(Sampling.stateBytes(0, 1))];
    Sampling.state(MemorySegment.ofArray(state), 0, 0, 1, 1, 0, new int[0], 1, 1);
    Device.Array scores = device.put(Element.F32, 1, 3, 2, 9, 8, 7, 4, 5, 6);
    long tokens = device.put(new int[] {-7, -7, -7});
    long scratch = device.soft.gpu(0).alloc(Sampling.scratchBytes(3, 3));
    long states = device.put(new long[] {0, device.put(state), 0});
    sampling.sample(0, scores.address(), 3, 3, 3, states, scratch, tokens);
    assertThat(device.ints(tokens, 3)).containsExactly(-7, 0, -7);
  }

  /** Known answers of the generator's authors (kat_vectors of Random123). */
  @Test
  void philoxKnownAnswers() {
    assertThat(words(0, 0, 0, 0, 0)).isEqualTo("6627e8d5e169c58dbc57ac4c9b00dbd8");
    assertThat(words(-1, -1, -1, -1, -1)).isEqualTo("408f276d41c83b0ea20bc7c66d5451fd");
    long key = 0x299f31d0_a4093822L;
    assertThat(words(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, key))
        .isEqualTo("d16cfe0994fdcceb5001e42024126ea1");
  }

  private static String words(int c0, int c1, int c2, int c3, long key) {
    return String.format(
        "%016x%016x",
        Philox.words(c0, c1, c2, c3, key, true), Philox.words(c0, c1, c2, c3, key, false));
  }

  @Test
  void uniformNumbersAreUniform() {
    long seed = new Random(3).nextLong();
    double sum = 0;
    int n = 20000;
    for (int i = 0; i < n; i++) {
      double u = Philox.uniform(seed, i);
      assertThat(u).isBetween(0.0, Math.nextDown(1.0));
      sum += u;
    }
    assertThat(sum / n).isCloseTo(0.5, within(0.01));
  }
}
