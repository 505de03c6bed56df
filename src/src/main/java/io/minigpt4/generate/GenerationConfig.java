package io.minigpt4.generate;

import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.List;

/**
 * How to choose tokens. Names and meanings are those of Hugging Face's {@code generate}, defaults
 * those of MiniGPT-4's demo, which leaves top-k at Transformers' default of 50.
 *
 * @param maxNewTokens most tokens to generate, at least 1
 * @param minNewTokens how many tokens must come before eos may, 0 to maxNewTokens
 * @param numBeams beams of beam search, 1 to 10; 1 is none
 * @param doSample whether to draw tokens at random; otherwise the most likely one is taken
 * @param temperature what scores are divided by before drawing; below 1e-5, where drawing has
 *     become taking the most likely token, it is as doSample false
 * @param topP draw only among the most likely tokens that together reach this probability, (0, 1]
 *     (Holtzman et al. 2020); 1 is no limit
 * @param topK draw only among so many most likely tokens (Fan et al. 2018); 0 is no limit
 * @param repetitionPenalty what scores of tokens generated before are divided by, or multiplied if
 *     negative (Keskar et al. 2019); at least 0.01, so that no score overflows; 1 is none. The
 *     prompt's tokens do not count, as in MiniGPT-4, which hands Transformers embeddings and no ids
 * @param lengthPenalty exponent of a hypothesis's length, by which beam search divides its score
 * @param seed of the random numbers; the same seed and scores draw the same tokens everywhere
 * @param stopTexts texts that end an answer, besides the chat template's separator
 * @param stopIds lists of token ids that end an answer
 */
public record GenerationConfig(
    int maxNewTokens,
    int minNewTokens,
    int numBeams,
    boolean doSample,
    double temperature,
    double topP,
    int topK,
    double repetitionPenalty,
    double lengthPenalty,
    long seed,
    List<String> stopTexts,
    List<IntList> stopIds) {

  /** Most beams. */
  public static final int MAX_BEAMS = 10;

  /** The lowest repetition penalty. */
  public static final double LEAST_REPETITION_PENALTY = 0.01;

  private static final double LEAST_TEMPERATURE = 1e-5;

  /**
   * @throws UserException if a value is outside its range
   */
  public GenerationConfig {
    require(maxNewTokens >= 1, "max_new_tokens", "at least 1", maxNewTokens);
    require(
        minNewTokens >= 0 && minNewTokens <= maxNewTokens,
        "min_new_tokens",
        "between 0 and max_new_tokens (" + maxNewTokens + ")",
        minNewTokens);
    require(
        numBeams >= 1 && numBeams <= MAX_BEAMS,
        "num_beams",
        "between 1 and " + MAX_BEAMS,
        numBeams);
    require(isFinite(temperature) && temperature >= 0, "temperature", "at least 0", temperature);
    require(topP > 0 && topP <= 1, "top_p", "above 0 and at most 1", topP);
    require(topK >= 0, "top_k", "at least 0", topK);
    require(
        isFinite(repetitionPenalty) && repetitionPenalty >= LEAST_REPETITION_PENALTY,
        "repetition_penalty",
        "at least " + LEAST_REPETITION_PENALTY,
        repetitionPenalty);
    require(isFinite(lengthPenalty), "length_penalty", "a finite number", lengthPenalty);
    stopTexts = List.copyOf(stopTexts);
    stopIds = List.copyOf(stopIds);
    for (String text : stopTexts) {
      require(!text.isEmpty(), "a stop text", "not empty", "''");
    }
    for (IntList ids : stopIds) {
      require(!ids.isEmpty(), "a stop list", "not empty", ids);
    }
  }

  // A divisor must stay one in float32, where the scores are.
  private static boolean isFinite(double value) {
    return Float.isFinite((float) value);
  }

  private static void require(boolean holds, String name, String range, Object value) {
    if (!holds) {
      throw new UserException(name + " must be " + range + ", not " + value);
    }
  }

  /** Whether tokens are drawn at random. */
  public boolean samples() {
    return doSample && temperature >= LEAST_TEMPERATURE;
  }

  /** The defaults of MiniGPT-4's demo, to change. */
  public static Builder builder() {
    return new Builder();
  }

  /** These values, to change. */
  public Builder toBuilder() {
    return new Builder()
        .maxNewTokens(maxNewTokens)
        .minNewTokens(minNewTokens)
        .numBeams(numBeams)
        .doSample(doSample)
        .temperature(temperature)
        .topP(topP)
        .topK(topK)
        .repetitionPenalty(repetitionPenalty)
        .lengthPenalty(lengthPenalty)
        .seed(seed)
        .stopTexts(stopTexts)
        .stopIds(stopIds);
  }

  /** Collects values; {@link #build} checks them. */
  public static final class Builder {
    private int maxNewTokens = 300;
    private int minNewTokens = 1;
    private int numBeams = 1;
    private boolean doSample = true;
    private double temperature = 1;
    private double topP = 0.9;
    private int topK = 50;
    private double repetitionPenalty = 1;
    private double lengthPenalty = 1;
    private long seed;
    private List<String> stopTexts = List.of();
    private List<IntList> stopIds = List.of();

    private Builder() {}

    public Builder maxNewTokens(int value) {
      maxNewTokens = value;
      return this;
    }

    public Builder minNewTokens(int value) {
      minNewTokens = value;
      return this;
    }

    public Builder numBeams(int value) {
      numBeams = value;
      return this;
    }

    public Builder doSample(boolean value) {
      doSample = value;
      return this;
    }

    public Builder temperature(double value) {
      temperature = value;
      return this;
    }

    public Builder topP(double value) {
      topP = value;
      return this;
    }

    public Builder topK(int value) {
      topK = value;
      return this;
    }

    public Builder repetitionPenalty(double value) {
      repetitionPenalty = value;
      return this;
    }

    public Builder lengthPenalty(double value) {
      lengthPenalty = value;
      return this;
    }

    public Builder seed(long value) {
      seed = value;
      return this;
    }

    public Builder stopTexts(List<String> value) {
      stopTexts = value;
      return this;
    }

    public Builder stopIds(List<IntList> value) {
      stopIds = value;
      return this;
    }

    /**
     * The configuration of these values.
     *
     * @throws UserException if a value is outside its range
     */
    public GenerationConfig build() {
      return new GenerationConfig(
          maxNewTokens,
          minNewTokens,
          numBeams,
          doSample,
          temperature,
          topP,
          topK,
          repetitionPenalty,
          lengthPenalty,
          seed,
          stopTexts,
          stopIds);
    }
  }
}
