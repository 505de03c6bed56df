package io.minigpt4.generate;

import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * Changes scores before a token is chosen, with Transformers' definitions and in its order:
 * repetition penalty, no eos before the least number of tokens, then for drawing temperature, top-k
 * and top-p. A score that is no number, which a damaged row of the head makes, is as −∞: its token
 * is never chosen. A step allocates nothing.
 *
 * <p>Not safe for use by several threads.
 */
final class LogitsProcessor {
  private final GenerationConfig config;
  private final int[] eosIds;

  /** Tokens that top-k and top-p must leave, so that each beam has one that is not eos. */
  private final int leastKept;

  private final int vocabulary;
  private final Scratch scratch;
  private final int[] heap;
  private final int[] kept;
  private final double[] weights;
  private int heapSize;

  /** Memory for a step, which processors that take turns may share. */
  static final class Scratch {
    private final int vocabulary;

    /** Marks tokens seen in a call by its number, so that nothing needs to be cleared. */
    private final int[] seen;

    private int call;

    /** A max-heap of token ids by score. */
    private final int[] heap;

    /** Tokens that may be drawn and their weights. */
    private final int[] kept;

    private final double[] weights;

    Scratch(int vocabulary) {
      this.vocabulary = vocabulary;
      seen = new int[vocabulary];
      heap = new int[vocabulary];
      kept = new int[vocabulary];
      weights = new double[vocabulary];
    }
  }

  LogitsProcessor(Scratch scratch, GenerationConfig config, int... eosIds) {
    this.scratch = scratch;
    this.config = config;
    this.eosIds = eosIds;
    leastKept = config.numBeams() > 1 ? eosIds.length + 1 : 1;
    vocabulary = scratch.vocabulary;
    heap = scratch.heap;
    kept = scratch.kept;
    weights = scratch.weights;
  }

  /**
   * Applies repetition penalty and the least number of new tokens.
   *
   * @param scores [vocabulary], changed in place
   * @param generated the tokens so far
   */
  void process(float[] scores, IntList generated) {
    dropNaN(scores);
    float penalty = (float) config.repetitionPenalty();
    if (penalty != 1) {
      int call = ++scratch.call;
      int[] seen = scratch.seen;
      for (int i = 0; i < generated.size(); i++) {
        int id = generated.getInt(i);
        if (seen[id] != call) {
          seen[id] = call;
          scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
        }
      }
    }
    if (generated.size() < config.minNewTokens()) {
      for (int id : eosIds) {
        scores[id] = Float.NEGATIVE_INFINITY;
      }
    }
  }

  /**
   * Applies temperature, top-k and top-p: scores that may not be drawn become −∞.
   *
   * @param scores [vocabulary], changed in place
   */
  void warp(float[] scores) {
    int count = select(scores);
    if (config.topK() == 0 && config.topP() >= 1) {
      return;
    }
    for (int i = 0; i < count; i++) {
      weights[i] = scores[kept[i]];
    }
    Arrays.fill(scores, Float.NEGATIVE_INFINITY);
    for (int i = 0; i < count; i++) {
      scores[kept[i]] = (float) weights[i];
    }
  }

  /**
   * Draws a token after temperature, top-k and top-p, with the probabilities that softmax gives the
   * remaining ones.
   *
   * @param scores [vocabulary], changed in place
   */
  int sample(float[] scores, RandomGenerator random) {
    int count = select(scores);
    float highest = scores[argmax(scores)];
    double total = 0;
    for (int i = 0; i < count; i++) {
      weights[i] = weight(scores[kept[i]], highest);
      total += weights[i];
    }
    double left = random.nextDouble() * total;
    int chosen = 0;
    while (chosen < count - 1 && left >= weights[chosen]) {
      left -= weights[chosen++];
    }
    return kept[chosen];
  }

  /**
   * The token of the highest score, the first of equals.
   *
   * @throws UserException if no score is a number above −∞
   */
  static int argmax(float[] scores) {
    int best = -1;
    float highest = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < scores.length; i++) {
      if (scores[i] > highest) {
        highest = scores[i];
        best = i;
      }
    }
    if (best < 0 || highest == Float.POSITIVE_INFINITY) {
      throw notFinite();
    }
    return best;
  }

  /** What there is to say where no token can be chosen. */
  static UserException notFinite() {
    return new UserException(
        "the model's scores are not finite: its weights are damaged or overflow their type; get"
            + " the files again");
  }

  /** Scores to log-probabilities: x − log Σ eˣ, in place. */
  static void logSoftmax(float[] scores) {
    double logTotal = logTotal(scores);
    for (int i = 0; i < scores.length; i++) {
      scores[i] = (float) (scores[i] - logTotal);
    }
  }

  /**
   * log Σ eˣ.
   *
   * @param scores what is no number among them becomes −∞
   */
  static double logTotal(float[] scores) {
    dropNaN(scores);
    float highest = scores[argmax(scores)];
    double total = 0;
    for (float score : scores) {
      total += weight(score, highest);
    }
    return highest + StrictMath.log(total);
  }

  private static void dropNaN(float[] scores) {
    for (int i = 0; i < scores.length; i++) {
      if (Float.isNaN(scores[i])) {
        scores[i] = Float.NEGATIVE_INFINITY;
      }
    }
  }

  /**
   * The tokens of the highest scores.
   *
   * @param count how many, if there are as many scores above −∞
   * @param logTotal as {@link #logTotal} gives it
   */
  static List<TokenScores.Rival> highest(float[] scores, int count, double logTotal) {
    List<TokenScores.Rival> best = new ArrayList<>();
    float last = Float.NEGATIVE_INFINITY;
    for (int id = 0; id < scores.length; id++) {
      if (best.size() == count && scores[id] <= last) {
        continue; // almost always
      }
      int at = best.size();
      while (at > 0 && scores[best.get(at - 1).id()] < scores[id]) {
        at--;
      }
      best.add(at, new TokenScores.Rival(id, (float) (scores[id] - logTotal)));
      if (best.size() > count) {
        best.removeLast();
      }
      last = scores[best.getLast().id()];
    }
    return best;
  }

  // StrictMath, unlike Math, gives the same bits on every machine.
  private static double weight(float score, float highest) {
    return StrictMath.exp((double) score - highest);
  }

  /** Puts the tokens that may be drawn into {@link #kept} and returns their number. */
  private int select(float[] scores) {
    float temperature = (float) config.temperature();
    if (temperature != 1) {
      for (int i = 0; i < vocabulary; i++) {
        scores[i] /= temperature;
      }
    }
    if (config.topK() == 0 && config.topP() >= 1) {
      return keepAll(scores);
    }
    if (config.topK() == 0) {
      return keepTopP(scores);
    }
    int count = keepTopK(scores);
    return config.topP() < 1 ? limitToTopP(scores, count) : count;
  }

  private int keepAll(float[] scores) {
    int count = 0;
    for (int i = 0; i < vocabulary; i++) {
      if (scores[i] > Float.NEGATIVE_INFINITY) {
        kept[count++] = i;
      }
    }
    return count;
  }

  /** The k highest scores, and those that equal the last of them. */
  private int keepTopK(float[] scores) {
    int k = Math.max(config.topK(), leastKept);
    fillHeap(scores, floorOfHighest(scores, k));
    int count = 0;
    while (heapSize > 0 && (count < k || scores[heap[0]] == scores[kept[count - 1]])) {
      kept[count++] = poll(scores);
    }
    return count;
  }

  /**
   * Top-p over tokens sorted from the highest score: a token stays while those before it do not
   * reach p together.
   */
  private int limitToTopP(float[] scores, int count) {
    double total = 0;
    for (int i = 0; i < count; i++) {
      weights[i] = weight(scores[kept[i]], scores[kept[0]]);
      total += weights[i];
    }
    double before = 0;
    int least = Math.min(leastKept, count);
    int i = 0;
    while (i < count && (i < least || before < config.topP() * total)) {
      before += weights[i++];
    }
    return i;
  }

  /** Top-p over all tokens, which sorts few more of them than stay. */
  private int keepTopP(float[] scores) {
    float highest = scores[argmax(scores)];
    double total = 0;
    for (float score : scores) {
      total += weight(score, highest);
    }
    // All tokens lighter than this weigh less than 1 − p together, so that none of them stays.
    double lightest = (1 - config.topP()) * total / vocabulary;
    float floor = (float) (highest + StrictMath.log(lightest)) - 0.01f;
    fillHeap(scores, Math.min(floor, floorOfHighest(scores, leastKept)));
    double before = 0;
    int count = 0;
    while (heapSize > 0 && (count < leastKept || before < config.topP() * total)) {
      kept[count] = poll(scores);
      before += weight(scores[kept[count++]], highest);
    }
    return count;
  }

  /** A number that at least {@code k} scores reach: the least of the maxima of k stretches. */
  private float floorOfHighest(float[] scores, int k) {
    int stretches = Math.min(k, vocabulary);
    float floor = Float.POSITIVE_INFINITY;
    for (int s = 0; s < stretches; s++) {
      int to = (int) ((s + 1L) * vocabulary / stretches);
      float highest = Float.NEGATIVE_INFINITY;
      for (int i = (int) ((long) s * vocabulary / stretches); i < to; i++) {
        highest = Math.max(highest, scores[i]);
      }
      floor = Math.min(floor, highest);
    }
    return floor;
  }

  private void fillHeap(float[] scores, float floor) {
    heapSize = 0;
    for (int i = 0; i < vocabulary; i++) {
      if (scores[i] >= floor && scores[i] > Float.NEGATIVE_INFINITY) {
        heap[heapSize++] = i;
      }
    }
    for (int i = heapSize / 2 - 1; i >= 0; i--) {
      siftDown(scores, i);
    }
  }

  private int poll(float[] scores) {
    int top = heap[0];
    heap[0] = heap[--heapSize];
    siftDown(scores, 0);
    return top;
  }

  private void siftDown(float[] scores, int from) {
    int at = from;
    int id = heap[at];
    for (int child = 2 * at + 1; child < heapSize; child = 2 * at + 1) {
      if (child + 1 < heapSize && isBefore(scores, heap[child + 1], heap[child])) {
        child++;
      }
      if (!isBefore(scores, heap[child], id)) {
        break;
      }
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = id;
  }

  /** Higher scores come first, of equal ones the lower id. */
  private static boolean isBefore(float[] scores, int a, int b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  }
}
