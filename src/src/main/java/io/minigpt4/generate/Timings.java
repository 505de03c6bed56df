package io.minigpt4.generate;

/**
 * How long the parts of a generation took.
 *
 * @param promptTokens rows of the prompt, image rows included
 * @param cachedTokens how many of them were in the session's cache already
 * @param newTokens tokens generated
 * @param prefillNanos time for the rest of the prompt, in nanoseconds
 * @param decodeNanos time for the new tokens, in nanoseconds
 */
public record Timings(
    int promptTokens, int cachedTokens, int newTokens, long prefillNanos, long decodeNanos) {

  /**
   * New tokens per second. The first one's scores come out of the prefill, so that n tokens take n
   * − 1 steps; 0 if there was no step.
   */
  public double decodeTokensPerSecond() {
    return perSecond(newTokens - 1, decodeNanos);
  }

  private static double perSecond(int tokens, long nanos) {
    return tokens <= 0 || nanos <= 0 ? 0 : tokens * 1e9 / nanos;
  }
}
