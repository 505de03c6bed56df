package io.minigpt4.image;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** Reads the golden files under {@code golden/images}; their README says what they hold. */
final class Goldens {
  private final Map<String, Golden> tensors = new LinkedHashMap<>();

  /** All tensors of a safetensors file. */
  Goldens(String file) {
    byte[] data = bytes(file);
    int length = (int) ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).getLong(0);
    Case header = new Case(parse(new String(data, 8, length, StandardCharsets.UTF_8)));
    for (Object name : header.values.keySet()) {
      String key = (String) name;
      if (!key.equals("__metadata__")) {
        Case entry = header.object(key);
        int[] range = entry.integers("data_offsets");
        byte[] bytes = Arrays.copyOfRange(data, 8 + length + range[0], 8 + length + range[1]);
        tensors.put(key, new Golden(entry.integers("shape"), bytes));
      }
    }
  }

  Set<String> names() {
    return tensors.keySet();
  }

  Golden get(String name) {
    return Objects.requireNonNull(tensors.get(name), name);
  }

  /** A golden tensor: its shape, and its bytes as they are in the file. */
  static final class Golden {
    private final int[] shape;
    private final byte[] bytes;

    Golden(int[] shape, byte[] bytes) {
      this.shape = shape;
      this.bytes = bytes;
    }

    int height() {
      return shape[0];
    }

    int width() {
      return shape[1];
    }

    byte[] bytes() {
      return bytes;
    }

    Picture picture() {
      return new Picture(width(), height(), bytes);
    }

    float[] floats() {
      float[] out = new float[bytes.length / 4];
      ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(out);
      return out;
    }
  }

  /** A JSON object. */
  static final class Case {
    private final Map<?, ?> values;

    private Case(Object values) {
      this.values = (Map<?, ?>) values;
    }

    boolean has(String key) {
      return values.containsKey(key);
    }

    String text(String key) {
      return (String) value(key);
    }

    int integer(String key) {
      return ((Number) value(key)).intValue();
    }

    int[] integers(String key) {
      return list(key).stream().mapToInt(v -> ((Number) v).intValue()).toArray();
    }

    List<?> list(String key) {
      return (List<?>) value(key);
    }

    Case object(String key) {
      return new Case(value(key));
    }

    private Object value(String key) {
      return Objects.requireNonNull(values.get(key), key);
    }

    @Override
    public String toString() {
      return values.toString();
    }
  }

  static byte[] bytes(String name) {
    try (InputStream in = Goldens.class.getResourceAsStream("/golden/images/" + name)) {
      return Objects.requireNonNull(in, name).readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One of the picture files. */
  static byte[] file(String name) {
    return bytes("files/" + name);
  }

  /** The {@code cases} of a JSON file. */
  static List<Case> cases(String name) {
    Case root = new Case(parse(new String(bytes(name), StandardCharsets.US_ASCII)));
    return root.list("cases").stream().map(Case::new).toList();
  }

  private static Object parse(String text) {
    try (JsonParser parser = new JsonFactory().createParser(text)) {
      parser.nextToken();
      return value(parser);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Object value(JsonParser parser) throws IOException {
    return switch (parser.currentToken()) {
      case START_OBJECT -> {
        Map<String, Object> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          parser.nextToken();
          map.put(key, value(parser));
        }
        yield map;
      }
      case START_ARRAY -> {
        List<Object> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(value(parser));
        }
        yield list;
      }
      case VALUE_NUMBER_INT -> parser.getLongValue();
      case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
      default -> parser.getText();
    };
  }
}
