package io.minigpt4.config;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Reads small JSON files strictly: no duplicate keys, no trailing text, bounded depth and size. */
public final class JsonFile {
  private static final int MAX_DEPTH = 64;

  private static final JsonFactory FACTORY =
      new JsonFactoryBuilder()
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxNumberLength(100)
                  .maxNameLength(10_000)
                  .build())
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .build();

  private JsonFile() {}

  /**
   * Reads a file whose root is an object.
   *
   * @throws UserException if it is missing, unreadable, too large or not JSON
   */
  public static ConfigNode read(Path file) {
    return parse(file.toString(), ConfigText.read(file));
  }

  /**
   * Parses text whose root is an object.
   *
   * @param where the file's name, for messages
   * @throws UserException if it is not JSON
   */
  public static ConfigNode parse(String where, String json) {
    try (JsonParser in = FACTORY.createParser(new StringReader(json))) {
      if (in.nextToken() != JsonToken.START_OBJECT) {
        throw new UserException(where + " is not a JSON object: it must start with '{'");
      }
      ConfigNode root = node(in, where, "");
      if (in.nextToken() != null) {
        throw new UserException(
            where + ":" + in.currentLocation().getLineNr() + ": text behind the closing brace");
      }
      return root;
    } catch (JacksonException e) {
      var location = e.getLocation();
      throw new UserException(
          where
              + (location == null ? "" : ":" + location.getLineNr())
              + ": "
              + e.getOriginalMessage(),
          e);
    } catch (IOException e) {
      throw new UserException(where + " cannot be read: " + e.getMessage(), e);
    }
  }

  private static ConfigNode node(JsonParser in, String where, String path) throws IOException {
    int line = in.currentTokenLocation().getLineNr();
    return new ConfigNode(where, line, path, value(in, where, path));
  }

  /** Recursion is bounded by the parser's limit on nesting. */
  private static @Nullable Object value(JsonParser in, String where, String path)
      throws IOException {
    return switch (in.currentToken()) {
      case START_OBJECT -> {
        Map<String, ConfigNode> map = new LinkedHashMap<>();
        for (String key = in.nextFieldName(); key != null; key = in.nextFieldName()) {
          in.nextToken();
          map.put(key, node(in, where, path.isEmpty() ? key : path + "." + key));
        }
        yield map;
      }
      case START_ARRAY -> {
        List<ConfigNode> list = new ArrayList<>();
        while (in.nextToken() != JsonToken.END_ARRAY) {
          list.add(node(in, where, path + "[" + list.size() + "]"));
        }
        yield list;
      }
      case VALUE_STRING -> in.getText();
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      case VALUE_NUMBER_INT ->
          in.getNumberType() == JsonParser.NumberType.BIG_INTEGER
              ? (Object) in.getDoubleValue()
              : (Object) in.getLongValue();
      case VALUE_NUMBER_FLOAT -> in.getDoubleValue();
      default -> null;
    };
  }
}
