package io.minigpt4.checkpoint;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;

/** How JSON inside checkpoints is read: strictly, and within bounds. */
final class Json {
  private Json() {}

  /** A factory of strict parsers: duplicate keys, deep nesting and endless numbers are errors. */
  static JsonFactory factory() {
    return new JsonFactoryBuilder()
        .streamReadConstraints(
            StreamReadConstraints.builder()
                .maxNestingDepth(16)
                .maxNameLength(10_000)
                .maxNumberLength(100)
                .build())
        .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
        // Every name occurs once; a table of them would cost memory and gain nothing.
        .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
        .build();
  }

  /** What the parser has to complain about, and where, on one line. */
  static String reason(JacksonException e) {
    var location = e.getLocation();
    // The parser names its source, a file's reader, and does not show it; bounds name their code.
    return e.getOriginalMessage()
            .replaceFirst(" \\(start marker at .*", "")
            .replaceFirst(", from `[^`]*`\\)", ")")
        + (location == null ? "" : " (character " + location.getCharOffset() + ")");
  }
}
