package io.minigpt4.serve;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/** JSON of the API: how it is read and written. */
final class Json {
  private static final int MAX_DEPTH = 32;
  private static final int MAX_NUMBER = 100;
  private static final int MAX_NAME = 1000;

  /** What {@link #READER} takes, in words. */
  static final String LIMITS =
      MAX_DEPTH
          + " levels, numbers of "
          + MAX_NUMBER
          + " digits, names of "
          + MAX_NAME
          + " characters";

  /** Reads what strangers send. */
  static final JsonFactory READER =
      new JsonFactoryBuilder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxNumberLength(MAX_NUMBER)
                  .maxNameLength(MAX_NAME)
                  .maxStringLength(Integer.MAX_VALUE) // the body's length is the limit
                  .build())
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          // Names that a client makes up would stay in a table that all requests share.
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .build();

  private static final JsonFactory WRITER = new JsonFactory();

  /** Writes a value. */
  interface Writing {
    /** Writes the value to the generator. */
    void to(JsonGenerator json) throws IOException;
  }

  private Json() {}

  /** A value in UTF-8. */
  static byte[] bytes(Writing value) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(512);
    try (JsonGenerator json = WRITER.createGenerator(out)) {
      value.to(json);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  /** An error as OpenAI's clients read it. */
  static byte[] error(ApiException e) {
    return bytes(
        json -> {
          json.writeStartObject();
          json.writeObjectFieldStart("error");
          json.writeStringField("message", e.text());
          json.writeStringField("type", e.type());
          string(json, "param", e.param());
          string(json, "code", e.code());
          json.writeEndObject();
          json.writeEndObject();
        });
  }

  /** Writes a string or null. */
  static void string(JsonGenerator json, String name, @Nullable String value) throws IOException {
    if (value == null) {
      json.writeNullField(name);
    } else {
      json.writeStringField(name, value);
    }
  }
}
