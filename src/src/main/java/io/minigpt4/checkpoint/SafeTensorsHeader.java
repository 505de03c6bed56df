package io.minigpt4.checkpoint;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.longs.LongArrayList;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The JSON header of a SafeTensors file: tensor name → type, shape and byte range, checked so that
 * the ranges fit their shapes and cover the data exactly, without overlap or gap.
 *
 * @param tensors in the header's order
 * @param metadata the {@code __metadata__} object
 */
record SafeTensorsHeader(Map<String, Entry> tensors, Map<String, String> metadata) {
  /** Largest header that is accepted, in bytes; the reference implementation has the same limit. */
  static final long MAX_BYTES = 100_000_000;

  /** The key that holds text instead of a tensor. */
  static final String METADATA = "__metadata__";

  /** More dimensions than any framework allows. */
  private static final int MAX_RANK = 64;

  /**
   * Where a tensor lies.
   *
   * @param begin first byte, counted from the end of the header
   * @param end one past the last byte
   */
  record Entry(DType dtype, LongArrayList dims, long begin, long end) {
    long[] shape() {
      return dims.toLongArray();
    }
  }

  /**
   * Parses and checks a header.
   *
   * @param where the file, for messages
   * @param json the header's bytes
   * @param dataBytes bytes that follow the header
   * @throws UserException if anything about it is wrong
   */
  static SafeTensorsHeader parse(String where, byte[] json, long dataBytes) {
    return new Parser(where).parse(json, dataBytes);
  }

  private record Parser(String where) {
    SafeTensorsHeader parse(byte[] json, long dataBytes) {
      if (json.length == 0 || json[0] != '{') {
        throw bad("the header does not start with '{'");
      }
      JsonFactory factory = Json.factory();
      var utf8 = StandardCharsets.UTF_8.newDecoder();
      try (JsonParser in =
          factory.createParser(new InputStreamReader(new ByteArrayInputStream(json), utf8))) {
        Map<String, Entry> tensors = new LinkedHashMap<>();
        Map<String, String> metadata = Map.of();
        in.nextToken();
        for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
          in.nextToken();
          if (name.equals(METADATA)) {
            metadata = metadata(in);
          } else {
            tensors.put(name, entry(in, name));
          }
        }
        if (in.nextToken() != null) {
          throw bad("there is something behind the header's closing brace");
        }
        checkCoverage(tensors, dataBytes);
        return new SafeTensorsHeader(tensors, metadata);
      } catch (CharacterCodingException e) {
        throw bad("the header is not valid UTF-8");
      } catch (JacksonException e) {
        throw bad(Json.reason(e));
      } catch (IOException e) {
        throw bad(String.valueOf(e.getMessage()));
      }
    }

    private Map<String, String> metadata(JsonParser in) throws IOException {
      if (in.currentToken() != JsonToken.START_OBJECT) {
        throw bad(METADATA + " is not an object");
      }
      Map<String, String> metadata = new LinkedHashMap<>();
      for (String key = in.nextFieldName(); key != null; key = in.nextFieldName()) {
        String value = in.nextTextValue();
        if (value == null) {
          throw bad(METADATA + " key '" + key + "' is not a string");
        }
        metadata.put(key, value);
      }
      return metadata;
    }

    private Entry entry(JsonParser in, String name) throws IOException {
      if (in.currentToken() != JsonToken.START_OBJECT) {
        throw bad(name, "its description is not an object");
      }
      DType dtype = null;
      LongArrayList shape = null;
      LongArrayList offsets = null;
      for (String key = in.nextFieldName(); key != null; key = in.nextFieldName()) {
        in.nextToken();
        switch (key) {
          case "dtype" -> dtype = dtype(name, in.getText());
          case "shape" -> shape = numbers(in, name, "shape");
          case "data_offsets" -> offsets = numbers(in, name, "data_offsets");
          default -> throw bad(name, "unknown key '" + key + "'");
        }
      }
      if (dtype == null || shape == null || offsets == null) {
        throw bad(name, "dtype, shape or data_offsets is missing");
      }
      return checked(name, dtype, shape, offsets);
    }

    private Entry checked(String name, DType dtype, LongArrayList shape, LongArrayList offsets) {
      if (offsets.size() != 2 || offsets.getLong(0) > offsets.getLong(1)) {
        throw bad(name, "data_offsets " + offsets + " are not [begin, end] with begin ≤ end");
      }
      long begin = offsets.getLong(0);
      long end = offsets.getLong(1);
      long need;
      try {
        need = Math.multiplyExact(Tensor.elements(shape.toLongArray()), dtype.bytes());
      } catch (ArithmeticException e) {
        throw bad(name, "the shape " + shape + " overflows");
      }
      if (end - begin != need) {
        throw bad(
            name,
            dtype
                + shape.toString()
                + " needs "
                + need
                + " bytes, data_offsets give "
                + (end - begin));
      }
      return new Entry(dtype, shape, begin, end);
    }

    private DType dtype(String name, @Nullable String text) {
      return Arrays.stream(DType.values())
          .filter(d -> !d.isQuantised() && d.name().equals(text))
          .findFirst()
          .orElseThrow(
              () ->
                  bad(
                      name,
                      "elements of type '"
                          + text
                          + "' are not supported; convert them to one of "
                          + Arrays.stream(DType.values()).filter(d -> !d.isQuantised()).toList()));
    }

    private LongArrayList numbers(JsonParser in, String name, String key) throws IOException {
      if (in.currentToken() != JsonToken.START_ARRAY) {
        throw bad(name, key + " is not a list");
      }
      LongArrayList numbers = new LongArrayList(4);
      while (in.nextToken() != JsonToken.END_ARRAY) {
        boolean whole =
            in.currentToken() == JsonToken.VALUE_NUMBER_INT
                && in.getNumberType() != JsonParser.NumberType.BIG_INTEGER;
        if (!whole || in.getLongValue() < 0) {
          throw bad(name, key + " holds " + in.getText() + ", not a whole number from 0 to 2^63-1");
        }
        if (numbers.size() == MAX_RANK) {
          throw bad(name, key + " has more than " + MAX_RANK + " numbers");
        }
        numbers.add(in.getLongValue());
      }
      return numbers;
    }

    private void checkCoverage(Map<String, Entry> tensors, long dataBytes) {
      List<Map.Entry<String, Entry>> byPlace = new ArrayList<>(tensors.entrySet());
      byPlace.sort(
          Comparator.comparingLong((Map.Entry<String, Entry> e) -> e.getValue().begin())
              .thenComparingLong(e -> e.getValue().end()));
      long position = 0;
      for (Map.Entry<String, Entry> e : byPlace) {
        Entry t = e.getValue();
        if (t.begin() < position) {
          throw bad(e.getKey(), "it overlaps the tensor before it");
        }
        if (t.begin() > position) {
          throw bad(e.getKey(), "there is a gap of " + (t.begin() - position) + " bytes before it");
        }
        position = t.end();
      }
      if (position > dataBytes) {
        throw new UserException(
            where
                + " is truncated: its tensors take "
                + position
                + " bytes, "
                + dataBytes
                + " are there; download or copy it again");
      }
      if (position < dataBytes) {
        throw bad((dataBytes - position) + " bytes at the end belong to no tensor");
      }
    }

    private UserException bad(String tensor, String reason) {
      return bad("tensor '" + tensor + "': " + reason);
    }

    private UserException bad(String reason) {
      return new UserException(where + " is not a valid SafeTensors file: " + reason);
    }
  }
}
