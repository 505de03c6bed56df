package io.minigpt4.generate;

import java.util.List;

/**
 * How likely a model found a token and its rivals: logarithms of the probabilities that softmax
 * gives the raw scores, before repetition penalty, temperature, top-k and top-p.
 *
 * @param logProbability of the token that was chosen, at most 0
 * @param top the most likely tokens, likeliest first, of equal ones the lower id first
 */
public record TokenScores(float logProbability, List<Rival> top) {
  /**
   * A token that could have been chosen.
   *
   * @param logProbability at most 0
   */
  public record Rival(int id, float logProbability) {}
}
