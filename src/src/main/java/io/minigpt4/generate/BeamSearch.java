package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Beam search and beam-sample as Transformers 5 defines them, {@code early_stopping} being false.
 * Each step looks at the best (1 + eos tokens) · beams continuations of all beams, or draws as many
 * without replacement. Of those the first {@code beams} may finish a hypothesis, which is scored by
 * its log-probability over its length ^ length_penalty; the best unfinished ones go on. The search
 * ends when no running beam scores better than the worst of {@code beams} finished ones.
 *
 * <p>Where fewer than {@code beams} continuations are possible, fewer beams go on.
 */
class BeamSearch implements AutoCloseable {
  private static final Comparator<Hypothesis> BEST_FIRST =
      Comparator.comparingDouble(hypothesis -> -hypothesis.score);

  private final LogitsProcessor processor;
  private final GenerationConfig config;
  private final StopRule stop;
  private final RandomGenerator random;
  private final int beams;
  private final int vocabulary;
  private final int candidates;
  private final float[][] scores;
  private final List<Hypothesis> finished = new ArrayList<>();
  private List<Beam> running = new ArrayList<>();

  /** New tokens that a running beam has. */
  private int length;

  /** What the best finished hypothesis was computed with. */
  private @Nullable KvCache bestCache;

  private float bestScore = Float.NEGATIVE_INFINITY;

  /** A sequence of new tokens; its score is a sum of log-probabilities, or that over its length. */
  record Hypothesis(IntArrayList ids, float score) {}

  /**
   * What came out.
   *
   * @param hypotheses best first; at least one
   * @param cache keys and values of the prompt and of the best one's tokens but the last; the
   *     caller's to close
   */
  record Found(List<Hypothesis> hypotheses, KvCache cache) {}

  /** One way to go on. */
  record Candidate(int beam, int token, float score) {}

  private static final class Beam {
    final IntArrayList ids;
    final KvCache cache;
    final float score;

    Beam(IntArrayList ids, KvCache cache, float score) {
      this.ids = ids;
      this.cache = cache;
      this.score = score;
    }
  }

  /**
   * @param prompt the prompt's keys and values; left as they are
   * @param vocabulary how many scores a row has
   * @param candidates how many continuations to look at in a step
   */
  BeamSearch(
      KvCache prompt,
      int vocabulary,
      int candidates,
      LogitsProcessor processor,
      GenerationConfig config,
      StopRule stop,
      RandomGenerator random) {
    this.processor = processor;
    this.config = config;
    this.stop = stop;
    this.random = random;
    this.beams = config.numBeams();
    this.vocabulary = vocabulary;
    this.candidates = candidates;
    this.scores = new float[beams][vocabulary];
    running.add(new Beam(new IntArrayList(), prompt.fork(), 0));
  }

  /**
   * Makes all beams longer by a token.
   *
   * @param logits [., vocabulary] floats of host memory
   * @param firstRow the row of the first beam's scores, which those of the others follow; before
   *     the first step there is one beam, the prompt
   * @return whether the search goes on
   */
  boolean step(MemorySegment logits, int firstRow) {
    length++;
    for (int b = 0; b < running.size(); b++) {
      score(running.get(b), logits, firstRow + b, scores[b]);
    }
    List<Candidate> best = choose(running.size(), candidates);
    List<Candidate> open = new ArrayList<>();
    for (int i = 0; i < best.size(); i++) {
      Candidate candidate = best.get(i);
      IntArrayList sequence = extended(running.get(candidate.beam).ids, candidate.token);
      if (length < config.maxNewTokens() && !ends(sequence)) {
        open.add(candidate);
      } else if (i < beams) {
        float score = candidate.score / divisor(length);
        finished.add(new Hypothesis(sequence, score));
        keepIfBest(score, running.get(candidate.beam).cache);
      }
    }
    keepBest();
    running = goOn(open);
    return !running.isEmpty()
        && (finished.size() < beams
            || running.getFirst().score / divisor(length) > finished.getLast().score);
  }

  /** Running beams, each of which adds a row to the next pass. */
  int rows() {
    return running.size();
  }

  /** Adds the last token of each running beam, whose id goes behind those of the batch. */
  void addTo(Batch batch, int[] ids) {
    for (int b = 0; b < running.size(); b++) {
      Beam beam = running.get(b);
      ids[batch.totalRows()] = beam.ids.getInt(beam.ids.size() - 1);
      batch.add(beam.cache, 1);
    }
  }

  /** What the search has found, unfinished beams if nothing is finished. It ends with this. */
  Found found() {
    if (finished.isEmpty()) {
      for (Beam beam : running) {
        float score = beam.score / divisor(beam.ids.size());
        finished.add(new Hypothesis(beam.ids, score));
        keepIfBest(score, beam.cache);
      }
    }
    KvCache cache = Objects.requireNonNull(bestCache);
    bestCache = null;
    close();
    return new Found(finished, cache);
  }

  /** Gives the memory of running beams back, and of what was found unless it was fetched. */
  @Override
  public void close() {
    running.forEach(beam -> beam.cache.close());
    running.clear();
    closeBest();
  }

  /** Keeps what a finished hypothesis was computed with, for the turn that follows its answer. */
  private void keepIfBest(float score, KvCache cache) {
    if (bestCache == null || score > bestScore) {
      closeBest();
      bestCache = cache.fork();
      bestScore = score;
    }
  }

  private void closeBest() {
    if (bestCache != null) {
      bestCache.close();
      bestCache = null;
    }
  }

  /** A hypothesis of this length has its score divided by this. */
  private float divisor(int length) {
    return (float) Math.pow(length, config.lengthPenalty());
  }

  private static IntArrayList extended(IntArrayList ids, int token) {
    IntArrayList longer = new IntArrayList(ids.size() + 1);
    longer.addAll(ids);
    longer.add(token);
    return longer;
  }

  private boolean ends(IntArrayList sequence) {
    return stop.isEos(sequence.getInt(sequence.size() - 1))
        || stop.endsInStopIds(sequence)
        || stop.hasStopText(sequence);
  }

  private void keepBest() {
    finished.sort(BEST_FIRST);
    if (finished.size() > beams) {
      finished.subList(beams, finished.size()).clear();
    }
  }

  /** Scores of all sequences that continue a beam by one token. */
  private void score(Beam beam, MemorySegment logits, int logitsRow, float[] row) {
    long at = (long) Float.BYTES * logitsRow * vocabulary;
    MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, at, row, 0, vocabulary);
    LogitsProcessor.logSoftmax(row);
    processor.process(row, beam.ids);
    if (config.samples()) {
      processor.warp(row);
    }
    for (int i = 0; i < vocabulary; i++) {
      row[i] += beam.score;
    }
  }

  /**
   * The continuations to look at, in the order in which they count.
   *
   * @param rows how many rows of scores there are
   */
  List<Candidate> choose(int rows, int count) {
    float[][] keys = config.samples() ? gumbelKeys(rows) : scores;
    // the best so far, sorted by key; a linear scan finds few that get in
    float[] best = new float[count];
    int[] index = new int[count];
    int size = 0;
    for (int b = 0; b < rows; b++) {
      for (int i = 0; i < vocabulary; i++) {
        float key = keys[b][i];
        if (key == Float.NEGATIVE_INFINITY || (size == count && key <= best[count - 1])) {
          continue;
        }
        int at = Math.min(size, count - 1);
        while (at > 0 && best[at - 1] < key) {
          best[at] = best[at - 1];
          index[at] = index[at - 1];
          at--;
        }
        best[at] = key;
        index[at] = b * vocabulary + i;
        size = Math.min(size + 1, count);
      }
    }
    List<Candidate> chosen = new ArrayList<>();
    for (int i = 0; i < size; i++) {
      chosen.add(candidate(index[i]));
    }
    return chosen;
  }

  /** The continuation of beam index / vocabulary by token index mod vocabulary. */
  Candidate candidate(int index) {
    int beam = index / vocabulary;
    int token = index % vocabulary;
    return new Candidate(beam, token, scores[beam][token]);
  }

  /**
   * Log-probabilities with Gumbel noise: taking the highest of them draws without replacement in
   * proportion to the probabilities (Kool et al. 2019, section 2).
   */
  private float[][] gumbelKeys(int rows) {
    float[][] keys = new float[rows][vocabulary];
    for (int b = 0; b < rows; b++) {
      for (int i = 0; i < vocabulary; i++) {
        keys[b][i] = scores[b][i];
        if (keys[b][i] > Float.NEGATIVE_INFINITY) {
          double uniform = random.nextDouble() + 0x1p-54; // never 0
          keys[b][i] += (float) -StrictMath.log(-StrictMath.log(uniform));
        }
      }
    }
    return keys;
  }

  /** The beams of the next step, best first. Caches move along, are forked, or closed. */
  private List<Beam> goOn(List<Candidate> open) {
    List<Candidate> next = new ArrayList<>(open);
    next.sort(Comparator.comparingDouble(candidate -> -candidate.score));
    if (next.size() > beams) {
      next.subList(beams, next.size()).clear();
    }
    boolean[] moved = new boolean[running.size()];
    List<Beam> beamsOn = new ArrayList<>();
    for (Candidate candidate : next) {
      Beam parent = running.get(candidate.beam);
      KvCache cache = moved[candidate.beam] ? parent.cache.fork() : parent.cache;
      moved[candidate.beam] = true;
      beamsOn.add(new Beam(extended(parent.ids, candidate.token), cache, candidate.score));
    }
    for (int b = 0; b < moved.length; b++) {
      if (!moved[b]) {
        running.get(b).cache.close();
      }
    }
    return beamsOn;
  }
}
