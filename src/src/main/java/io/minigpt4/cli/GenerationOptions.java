package io.minigpt4.cli;

import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.tensor.UserException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How answers are generated. */
final class GenerationOptions {
  /** Seeds that every reader of JSON gets right, also one whose numbers are doubles. */
  private static final long SEEDS = 1L << 53;

  /** What generation's messages call its settings, as the API does, but not inside file names. */
  private static final Pattern FIELD =
      Pattern.compile(
          "(?<![\\w./-])(temperature|top_p|top_k|num_beams|repetition_penalty|length_penalty"
              + "|min_new_tokens|max_new_tokens)(?![\\w./-])");

  @Option(
      names = "--temperature",
      paramLabel = "T",
      description =
          "0 takes the likeliest token each time; higher is more varied. Default: 1, and 0 for the"
              + " built-in demo model.")
  private @Nullable Double temperature;

  @Option(
      names = "--top-p",
      paramLabel = "P",
      description = "Draw among the likeliest tokens that reach this probability. Default: 0.9.")
  private @Nullable Double topP;

  @Option(
      names = "--top-k",
      paramLabel = "K",
      description = "Draw among so many likeliest tokens; 0 for all. Default: 50.")
  private @Nullable Integer topK;

  @Option(
      names = "--num-beams",
      paramLabel = "N",
      description = "Beams of beam search, 1 to 10. Default: 1.")
  private @Nullable Integer numBeams;

  @Option(
      names = "--repetition-penalty",
      paramLabel = "X",
      description = "Above 1 makes tokens rarer that were generated before. Default: 1.")
  private @Nullable Double repetitionPenalty;

  @Option(
      names = "--length-penalty",
      paramLabel = "X",
      description = "Above 0 makes beam search prefer longer answers. Default: 1.")
  private @Nullable Double lengthPenalty;

  @Option(
      names = "--min-new-tokens",
      paramLabel = "N",
      description = "Tokens before an answer may end. Default: 1.")
  private @Nullable Integer minNewTokens;

  @Option(
      names = "--max-new-tokens",
      paramLabel = "N",
      description = "Most tokens of an answer. Default: 300.")
  private @Nullable Integer maxNewTokens;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Makes random answers repeatable. Default: another one each time.")
  private @Nullable Long seed;

  @Option(
      names = "--stop",
      paramLabel = "TEXT",
      description = "Ends an answer where this text comes up; may be repeated.")
  private List<String> stop = new ArrayList<>();

  /**
   * The settings as generation takes them.
   *
   * @param defaultTemperature where none was given
   * @throws UserException if a value is outside its range
   */
  GenerationConfig config(double defaultTemperature) {
    GenerationConfig.Builder builder =
        GenerationConfig.builder()
            .temperature(temperature == null ? defaultTemperature : temperature)
            .seed(seed == null ? ThreadLocalRandom.current().nextLong(SEEDS) : seed)
            .stopTexts(stop);
    if (topP != null) {
      builder.topP(topP);
    }
    if (topK != null) {
      builder.topK(topK);
    }
    if (numBeams != null) {
      builder.numBeams(numBeams);
    }
    if (repetitionPenalty != null) {
      builder.repetitionPenalty(repetitionPenalty);
    }
    if (lengthPenalty != null) {
      builder.lengthPenalty(lengthPenalty);
    }
    if (minNewTokens != null) {
      builder.minNewTokens(minNewTokens);
    }
    if (maxNewTokens != null) {
      builder.maxNewTokens(maxNewTokens);
    }
    try {
      return builder.build();
    } catch (UserException e) {
      throw inFlags(e);
    }
  }

  /** The same complaint about a setting, which names the flag in place of the API's field. */
  static UserException inFlags(UserException e) {
    String message = String.valueOf(e.getMessage());
    String typed =
        FIELD.matcher(message).replaceAll(field -> "--" + field.group().replace('_', '-'));
    return typed.equals(message) ? e : new UserException(typed, e);
  }
}
