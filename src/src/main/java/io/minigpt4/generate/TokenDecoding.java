package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** Greedy decoding and sampling: one token after the other. */
final class TokenDecoding implements Continuation {
  private final Session session;
  private final LogitsProcessor processor;
  private final GenerationConfig config;
  private final StopRule stop;
  private final RandomGenerator random;
  private final AnswerStream answer;
  private final GenerationListener listener;
  private final int topScores;
  private final float[] scores;
  private final int[] next = new int[1];
  private final IntArrayList ids;
  private FinishReason reason = FinishReason.CANCELLED;

  /**
   * @param scores [vocabulary], used in {@link #accept} only, unless the device chooses
   * @param topScores how many likely tokens the listener is told of with each; 0 for none
   */
  TokenDecoding(
      Session session,
      LogitsProcessor processor,
      GenerationConfig config,
      StopRule stop,
      RandomGenerator random,
      AnswerStream answer,
      GenerationListener listener,
      float[] scores,
      int topScores) {
    this.session = session;
    this.processor = processor;
    this.config = config;
    this.stop = stop;
    this.random = random;
    this.answer = answer;
    this.listener = listener;
    this.scores = scores;
    this.topScores = topScores;
    this.ids = new IntArrayList(config.maxNewTokens());
  }

  @Override
  public boolean accept(PassResults results, int row) {
    if (!ids.isEmpty()) {
      session.computed(next, 0, 1);
    }
    if (!results.isChosen(row)) {
      return fromScores(results.scores(), row);
    }
    int id = results.token(row);
    if (id < 0) {
      throw LogitsProcessor.notFinite();
    }
    return take(id, null);
  }

  private boolean fromScores(MemorySegment logits, int row) {
    long at = (long) Float.BYTES * row * scores.length;
    MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, at, scores, 0, scores.length);
    TokenScores told = null;
    int id;
    if (topScores == 0) {
      id = choose();
    } else {
      double logTotal = LogitsProcessor.logTotal(scores);
      List<TokenScores.Rival> top = LogitsProcessor.highest(scores, topScores, logTotal);
      id = choose();
      float raw = logits.get(ValueLayout.JAVA_FLOAT, at + (long) Float.BYTES * id);
      told = new TokenScores((float) (raw - logTotal), top);
    }
    return take(id, told);
  }

  private int choose() {
    processor.process(scores, ids);
    return config.samples() ? processor.sample(scores, random) : LogitsProcessor.argmax(scores);
  }

  /** Takes a token; whether the answer goes on. */
  private boolean take(int id, @Nullable TokenScores told) {
    ids.add(id);
    next[0] = id;
    listener.onToken(id, told);
    boolean stopText = answer.append(id);
    if (stop.isEos(id)) {
      reason = FinishReason.EOS;
    } else if (stopText || stop.endsInStopIds(ids)) {
      reason = FinishReason.STOP;
    } else if (ids.size() == config.maxNewTokens()) {
      reason = FinishReason.LENGTH;
    } else {
      return !listener.isCancelled();
    }
    return false;
  }

  @Override
  public int rows() {
    return 1;
  }

  @Override
  public void addTo(Batch batch, int[] batchIds) {
    batchIds[batch.totalRows()] = next[0];
    batch.add(session.cache(), 1);
  }

  @Override
  public IntArrayList ids() {
    return ids;
  }

  @Override
  public FinishReason reason() {
    return reason;
  }

  @Override
  public void close() {
    // The session's owner closes what there is.
  }
}
