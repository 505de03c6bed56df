package io.minigpt4.cli;

import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.UserException;
import java.util.List;
import java.util.Locale;

/** The generation settings of a running chat, which {@code /set} changes by their flags' names. */
final class ChatSettings {
  /** The names. */
  static final List<String> KEYS =
      List.of(
          "temperature",
          "top-p",
          "top-k",
          "num-beams",
          "repetition-penalty",
          "length-penalty",
          "min-new-tokens",
          "max-new-tokens",
          "seed");

  private GenerationConfig config;

  ChatSettings(GenerationConfig config) {
    this.config = config;
  }

  GenerationConfig config() {
    return config;
  }

  /** The same with the next seed, for another try. */
  GenerationConfig reseeded() {
    config = config.toBuilder().seed(config.seed() + 1).build();
    return config;
  }

  /**
   * Changes one setting.
   *
   * @param name with or without leading dashes, with dashes or underscores inside
   * @throws UserException if there is no such setting or the value does not fit it; nothing is
   *     changed then
   */
  void set(String name, String value) {
    String key = name.replaceFirst("^--", "").replace('_', '-').toLowerCase(Locale.ROOT);
    GenerationConfig.Builder builder = config.toBuilder();
    try {
      switch (key) {
        case "temperature" -> builder.temperature(Double.parseDouble(value));
        case "top-p" -> builder.topP(Double.parseDouble(value));
        case "top-k" -> builder.topK(Integer.parseInt(value));
        case "num-beams" -> builder.numBeams(Integer.parseInt(value));
        case "repetition-penalty" -> builder.repetitionPenalty(Double.parseDouble(value));
        case "length-penalty" -> builder.lengthPenalty(Double.parseDouble(value));
        case "min-new-tokens" -> builder.minNewTokens(Integer.parseInt(value));
        case "max-new-tokens" -> builder.maxNewTokens(Integer.parseInt(value));
        case "seed" -> builder.seed(Long.parseLong(value));
        default ->
            throw new UserException(
                "no setting '"
                    + name
                    + "'"
                    + Suggestions.misspelt(key, KEYS)
                        .map(k -> "; did you mean " + k + "?")
                        .orElse("; there are " + String.join(", ", KEYS)));
      }
    } catch (NumberFormatException e) {
      throw new UserException("'" + value + "' is not a number that " + key + " can take", e);
    }
    config = builder.build();
  }

  /** All settings, one a line. */
  String describe() {
    GenerationConfig c = config;
    List<Object> values =
        List.of(
            c.temperature(),
            c.topP(),
            c.topK(),
            c.numBeams(),
            c.repetitionPenalty(),
            c.lengthPenalty(),
            c.minNewTokens(),
            c.maxNewTokens(),
            c.seed());
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < KEYS.size(); i++) {
      lines.append(String.format(Locale.ROOT, "%-20s %s%n", KEYS.get(i), values.get(i)));
    }
    return lines.toString();
  }
}
