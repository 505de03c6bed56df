package io.minigpt4.generate;

import io.minigpt4.testing.Golden.Json;
import java.util.Map;
import java.util.Objects;

/** Generation settings for tests. */
final class TestConfigs {
  private TestConfigs() {}

  /** Sampling with nothing changed: Transformers' defaults but for top-k. */
  static GenerationConfig.Builder plain() {
    return GenerationConfig.builder().minNewTokens(0).topP(1).topK(0);
  }

  /** Settings by the names that the golden files use. */
  static GenerationConfig of(Json options) {
    GenerationConfig.Builder builder = plain();
    for (Map.Entry<?, ?> entry : ((Map<?, ?>) Objects.requireNonNull(options.value())).entrySet()) {
      Json value = new Json(entry.getValue());
      switch ((String) entry.getKey()) {
        case "repetition_penalty" -> builder.repetitionPenalty(value.number());
        case "min_new_tokens" -> builder.minNewTokens(value.integer());
        case "temperature" -> builder.temperature(value.number());
        case "top_k" -> builder.topK(value.integer());
        case "top_p" -> builder.topP(value.number());
        case "num_beams" -> builder.numBeams(value.integer());
        case "length_penalty" -> builder.lengthPenalty(value.number());
        case "do_sample" -> builder.doSample(value.bool());
        default -> throw new IllegalArgumentException("option " + entry.getKey());
      }
    }
    return builder.build();
  }
}
