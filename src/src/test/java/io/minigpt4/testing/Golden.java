package io.minigpt4.testing;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Access to the golden files, and their JSON as a tree that is easy to walk. */
public final class Golden {
  private Golden() {}

  /** The file {@code name} under golden/, on disk. */
  public static Path path(String name) {
    URL url = Golden.class.getResource("/golden/" + name);
    try {
      return Path.of(Objects.requireNonNull(url, name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Reads the JSON file {@code name} under golden/. */
  public static Json json(String name) {
    try (InputStream in = Golden.class.getResourceAsStream("/golden/" + name);
        JsonParser parser = new JsonFactory().createParser(Objects.requireNonNull(in, name))) {
      parser.nextToken();
      return new Json(read(parser));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static @Nullable Object read(JsonParser parser) throws IOException {
    return switch (parser.currentToken()) {
      case START_OBJECT -> readObject(parser);
      case START_ARRAY -> readArray(parser);
      case VALUE_STRING -> parser.getText();
      case VALUE_NUMBER_INT -> parser.getLongValue();
      case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
      case VALUE_TRUE, VALUE_FALSE -> parser.getBooleanValue();
      default -> null;
    };
  }

  private static Object readObject(JsonParser parser) throws IOException {
    Map<String, @Nullable Object> object = new LinkedHashMap<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      String name = parser.currentName();
      parser.nextToken();
      object.put(name, read(parser));
    }
    return object;
  }

  private static Object readArray(JsonParser parser) throws IOException {
    List<@Nullable Object> array = new ArrayList<>();
    while (parser.nextToken() != JsonToken.END_ARRAY) {
      array.add(read(parser));
    }
    return array;
  }

  /** A JSON value; asking for another kind than it is throws. */
  public record Json(@Nullable Object value) {
    /** Member of an object. */
    public Json get(String name) {
      Map<?, ?> object = (Map<?, ?>) Objects.requireNonNull(value);
      if (!object.containsKey(name)) {
        throw new IllegalArgumentException("no member " + name + " in " + object.keySet());
      }
      return new Json(object.get(name));
    }

    public boolean has(String name) {
      return ((Map<?, ?>) Objects.requireNonNull(value)).containsKey(name);
    }

    /** Elements of an array. */
    public List<Json> list() {
      List<Json> list = new ArrayList<>();
      for (Object element : (List<?>) Objects.requireNonNull(value)) {
        list.add(new Json(element));
      }
      return list;
    }

    public String string() {
      return (String) Objects.requireNonNull(value);
    }

    public int integer() {
      return Math.toIntExact((Long) Objects.requireNonNull(value));
    }

    public double number() {
      return ((Number) Objects.requireNonNull(value)).doubleValue();
    }

    public boolean bool() {
      return (Boolean) Objects.requireNonNull(value);
    }

    public boolean isNull() {
      return value == null;
    }

    /** An array of integers. */
    public int[] integers() {
      return list().stream().mapToInt(Json::integer).toArray();
    }

    /** An array of numbers. */
    public double[] numbers() {
      return list().stream().mapToDouble(Json::number).toArray();
    }
  }
}
