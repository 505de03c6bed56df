package io.minigpt4.chat;

import io.minigpt4.generate.Generation;
import org.jspecify.annotations.Nullable;

/** What a {@link ChatEngine} has done; its owner guards it against several threads. */
final class EngineCounters {
  /** How much the latest answer counts in the average. */
  private static final double WEIGHT = 0.1;

  private int running;
  private long kvTokens;
  private long finished;
  private long failed;
  private long tokens;
  private long promptComputed;
  private long promptCached;
  private long imagesEncoded;
  private long imagesFound;

  private double secondsPerAnswer = 1;

  /** When the answer before ended, or the engine was idle; in nanoseconds. */
  private long since = System.nanoTime();

  /** Nothing is computed: the time until the next answer does not tell how fast the engine is. */
  void idle() {
    since = System.nanoTime();
  }

  /** An answer came to its end. */
  void finished(Generation generation) {
    finished++;
    tokens += generation.ids().size();
    promptComputed += generation.timings().promptTokens() - generation.timings().cachedTokens();
    promptCached += generation.timings().cachedTokens();
    long now = System.nanoTime();
    secondsPerAnswer += WEIGHT * ((now - since) / 1e9 - secondsPerAnswer);
    since = now;
  }

  /** Answers ended before they began. */
  void finished(int count) {
    finished += count;
  }

  void failed() {
    failed++;
  }

  void running(int count) {
    running = count;
  }

  void kvTokens(long inUse) {
    kvTokens = inUse;
  }

  void images(long encoded, long found) {
    imagesEncoded = encoded;
    imagesFound = found;
  }

  /** Time between the ends of two answers while there is work, averaged over the latest. */
  double secondsPerAnswer() {
    return secondsPerAnswer;
  }

  EngineStatus status(String device, @Nullable String failure, int queued, long kvTokensTotal) {
    return new EngineStatus(
        device,
        failure,
        running,
        queued,
        kvTokens,
        kvTokensTotal,
        finished,
        failed,
        tokens,
        promptComputed,
        promptCached,
        imagesEncoded,
        imagesFound);
  }
}
