package io.minigpt4.generate;

import io.minigpt4.tensor.TokenRule;
import it.unimi.dsi.fastutil.ints.IntArrayList;

/**
 * One sequence's tokens, chosen on the host by the rule that devices go by, from the same random
 * numbers: what a device's choice is compared with.
 */
public final class HostChoice {
  private final GenerationConfig config;
  private final LogitsProcessor processor;
  private final PhiloxGenerator random;
  private final IntArrayList ids = new IntArrayList();

  /**
   * @param vocabulary number of scores
   * @param endIds tokens that end the sequence, each below {@code vocabulary}
   */
  public HostChoice(TokenRule rule, int vocabulary, int... endIds) {
    config =
        GenerationConfig.builder()
            .doSample(rule.temperature() > 0)
            .temperature(rule.temperature())
            .topK(rule.topK())
            .topP(rule.topP())
            .repetitionPenalty(rule.repetitionPenalty())
            .minNewTokens(rule.minNewTokens())
            .maxNewTokens(rule.mostTokens())
            .build();
    processor = new LogitsProcessor(new LogitsProcessor.Scratch(vocabulary), config, endIds);
    random = new PhiloxGenerator(rule.seed());
  }

  /**
   * The next token.
   *
   * @param scores [vocabulary], undefined afterwards
   * @throws io.minigpt4.tensor.UserException if no score is a number above −∞
   */
  public int next(float[] scores) {
    processor.process(scores, ids);
    int id = config.samples() ? processor.sample(scores, random) : LogitsProcessor.argmax(scores);
    ids.add(id);
    return id;
  }
}
