package io.minigpt4.serve;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import io.minigpt4.chat.ChatRequest;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.serve.ChatBody.Message;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * Reads the body of a request for chat completions token by token, so that what is not understood
 * takes no memory. Fields that are unknown are skipped; OpenAI's fields that would change the
 * answer and that this server does not have are refused unless they ask for nothing.
 */
final class ChatBodyReader {
  static final int MAX_CHOICES = 16;
  static final int MAX_STOPS = 16;
  static final int MAX_MESSAGES = 1000;
  private static final int MAX_STOP_LENGTH = 200;
  private static final int MAX_TOKENS = 1_000_000;
  private static final long SEEDS = 1L << 53;

  private final JsonParser in;
  private final GenerationConfig.Builder config = GenerationConfig.builder();
  private @Nullable String model;
  private @Nullable List<Message> messages;
  private @Nullable Integer maxTokens;
  private @Nullable Integer maxCompletionTokens;
  private @Nullable Long seed;
  private int minTokens = 1;
  private boolean stream;
  private boolean includeUsage;
  private int choices = 1;
  private boolean logprobs;
  private int topLogprobs;

  private ChatBodyReader(JsonParser in) {
    this.in = in;
  }

  /**
   * Reads a body.
   *
   * @param temperature of a request that gives none
   * @throws ApiException if it is not JSON, or a field is missing, of a wrong type or outside its
   *     range
   */
  static ChatBody read(byte[] body, double temperature) {
    try (JsonParser in = Json.READER.createParser(utf8(body))) {
      ChatBodyReader reader = new ChatBodyReader(in);
      reader.config.temperature(temperature);
      return reader.read();
    } catch (StreamConstraintsException e) {
      throw ApiException.badRequest(
          null, "the body's JSON goes beyond this server's limits; " + Json.LIMITS);
    } catch (JacksonException e) {
      var where = e.getLocation();
      String what =
          String.valueOf(e.getOriginalMessage()).startsWith("Duplicate field")
              ? "the body has a name twice in one object"
              : "the body is not JSON that can be read";
      throw ApiException.badRequest(
          null,
          what
              + (where == null
                  ? ""
                  : " (line " + where.getLineNr() + ", column " + where.getColumnNr() + ")"));
    } catch (IOException e) {
      throw ApiException.badRequest(null, "the body is not JSON in UTF-8");
    }
  }

  /**
   * The body's characters, behind a byte order mark if there is one; reading throws where bytes are
   * not UTF-8. Left to itself, the parser would put replacement characters there.
   */
  private static Reader utf8(byte[] body) {
    boolean marked =
        body.length >= 3
            && body[0] == (byte) 0xef
            && body[1] == (byte) 0xbb
            && body[2] == (byte) 0xbf;
    int from = marked ? 3 : 0;
    return new InputStreamReader(
        new ByteArrayInputStream(body, from, body.length - from),
        StandardCharsets.UTF_8.newDecoder());
  }

  private ChatBody read() throws IOException {
    if (in.nextToken() != JsonToken.START_OBJECT) {
      throw ApiException.badRequest(null, "the body must be a JSON object");
    }
    for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
      JsonToken token = in.nextToken();
      if (token == JsonToken.VALUE_NULL) {
        continue; // as if it were not there
      }
      if (!field(name) && !sampling(name)) {
        refuseUnsupported(name);
        in.skipChildren();
      }
    }
    if (in.nextToken() != null) {
      throw ApiException.badRequest(null, "there is text behind the body's closing brace");
    }
    return body();
  }

  private boolean field(String name) throws IOException {
    switch (name) {
      case "model" -> model = string(name);
      case "messages" -> messages = MessageReader.read(in);
      case "stream" -> stream = bool(name);
      case "stream_options" -> streamOptions();
      case "n" -> choices = integer(name, 1, MAX_CHOICES);
      case "logprobs" -> logprobs = bool(name);
      case "top_logprobs" -> topLogprobs = integer(name, 0, ChatRequest.MAX_TOP_SCORES);
      default -> {
        return false;
      }
    }
    return true;
  }

  private boolean sampling(String name) throws IOException {
    switch (name) {
      case "max_tokens" -> maxTokens = integer(name, 1, MAX_TOKENS);
      case "max_completion_tokens" -> maxCompletionTokens = integer(name, 1, MAX_TOKENS);
      case "min_tokens" -> minTokens = integer(name, 0, MAX_TOKENS);
      case "temperature" -> config.temperature(number(name, 0, 2));
      case "top_p" -> config.topP(positive(name, 1));
      case "top_k" -> config.topK(integer(name, 0, Integer.MAX_VALUE));
      case "num_beams" -> config.numBeams(integer(name, 1, GenerationConfig.MAX_BEAMS));
      case "repetition_penalty" -> config.repetitionPenalty(repetitionPenalty(name));
      case "length_penalty" -> config.lengthPenalty(number(name, -100, 100));
      case "seed" -> seed = seed();
      case "stop" -> config.stopTexts(stops());
      default -> {
        return false;
      }
    }
    return true;
  }

  private ChatBody body() {
    if (messages == null || messages.isEmpty()) {
      throw ApiException.badRequest("messages", "'messages' is missing: at least one is needed");
    }
    if (topLogprobs > 0 && !logprobs) {
      throw ApiException.badRequest("top_logprobs", "'top_logprobs' needs 'logprobs' to be true");
    }
    int most = 300;
    if (maxCompletionTokens != null) {
      most = maxCompletionTokens;
    } else if (maxTokens != null) {
      most = maxTokens;
    }
    if (minTokens > most) {
      throw ApiException.badRequest(
          "min_tokens", "'min_tokens' must be at most the number of tokens allowed, " + most);
    }
    config
        .maxNewTokens(most)
        .minNewTokens(minTokens)
        .seed(seed == null ? ThreadLocalRandom.current().nextLong(SEEDS) : seed);
    GenerationConfig sampling = config.build();
    if (logprobs && sampling.numBeams() > 1) {
      throw ApiException.badRequest(
          "logprobs", "'logprobs' needs 'num_beams' to be 1: beam search chooses whole answers");
    }
    return new ChatBody(
        model, messages, stream, includeUsage, choices, logprobs, topLogprobs, sampling);
  }

  private void streamOptions() throws IOException {
    if (in.currentToken() != JsonToken.START_OBJECT) {
      throw wrongType("stream_options", "an object");
    }
    for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
      JsonToken token = in.nextToken();
      if (name.equals("include_usage") && token != JsonToken.VALUE_NULL) {
        includeUsage = bool("stream_options.include_usage");
      } else {
        in.skipChildren();
      }
    }
  }

  private List<String> stops() throws IOException {
    List<String> stops = new ArrayList<>();
    if (in.currentToken() == JsonToken.VALUE_STRING) {
      stops.add(stop());
    } else if (in.currentToken() == JsonToken.START_ARRAY) {
      while (in.nextToken() != JsonToken.END_ARRAY) {
        if (stops.size() == MAX_STOPS) {
          throw ApiException.badRequest("stop", "'stop' has more than " + MAX_STOPS + " texts");
        }
        stops.add(stop());
      }
    } else {
      throw wrongType("stop", "a string or an array of strings");
    }
    return stops;
  }

  private String stop() throws IOException {
    String text = string("stop");
    if (text.isEmpty() || text.length() > MAX_STOP_LENGTH) {
      throw ApiException.badRequest(
          "stop", "a text in 'stop' must have 1 to " + MAX_STOP_LENGTH + " characters");
    }
    return text;
  }

  /** Fields of OpenAI's that this model has nothing for, if they ask for something. */
  private void refuseUnsupported(String name) throws IOException {
    boolean asks =
        switch (name) {
          case "frequency_penalty", "presence_penalty" ->
              !in.currentToken().isNumeric() || in.getDoubleValue() != 0;
          case "tools", "functions" -> in.currentToken() != JsonToken.START_ARRAY || !isEmpty();
          case "logit_bias" -> in.currentToken() != JsonToken.START_OBJECT || !isEmpty();
          case "response_format" -> !isTextFormat();
          case "tool_choice", "function_call" -> !isOneOf("none", "auto");
          case "modalities" -> !isText();
          case "audio", "web_search_options" -> true;
          default -> false;
        };
    if (asks) {
      throw ApiException.refused(
          400, name, "unsupported_parameter", "'" + name + "' is not supported by this model");
    }
  }

  /** Whether nothing is in the array or object; moves to its end then. */
  private boolean isEmpty() throws IOException {
    JsonToken next = in.nextToken();
    return next == JsonToken.END_ARRAY || next == JsonToken.END_OBJECT;
  }

  private boolean isOneOf(String... words) throws IOException {
    return in.currentToken() == JsonToken.VALUE_STRING && List.of(words).contains(in.getText());
  }

  /** Whether it is an array with nothing but "text" in it; moves to its end then. */
  private boolean isText() throws IOException {
    boolean text = in.currentToken() == JsonToken.START_ARRAY;
    while (text && in.nextToken() != JsonToken.END_ARRAY) {
      text = isOneOf("text");
    }
    return text;
  }

  private boolean isTextFormat() throws IOException {
    boolean text = in.currentToken() == JsonToken.START_OBJECT;
    if (text) {
      for (String name = in.nextFieldName(); name != null; name = in.nextFieldName()) {
        in.nextToken();
        text &= !name.equals("type") || "text".equals(in.getText());
        in.skipChildren();
      }
    }
    return text;
  }

  // ---- values

  private String string(String name) throws IOException {
    if (in.currentToken() != JsonToken.VALUE_STRING) {
      throw wrongType(name, "a string");
    }
    return in.getText();
  }

  private boolean bool(String name) {
    return switch (in.currentToken()) {
      case VALUE_TRUE -> true;
      case VALUE_FALSE -> false;
      default -> throw wrongType(name, "true or false");
    };
  }

  private int integer(String name, int least, int most) throws IOException {
    double value = in.currentToken().isNumeric() ? in.getDoubleValue() : Double.NaN;
    if (Double.isNaN(value) || value != Math.rint(value)) {
      throw wrongType(name, "an integer");
    }
    if (value < least || value > most) {
      throw outside(name, "between " + least + " and " + most);
    }
    return (int) value;
  }

  private long seed() throws IOException {
    if (in.currentToken() != JsonToken.VALUE_NUMBER_INT) {
      throw wrongType("seed", "an integer");
    }
    if (in.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
      throw outside("seed", "an integer of 64 bits");
    }
    return in.getLongValue();
  }

  private double number(String name, double least, double most) throws IOException {
    if (!in.currentToken().isNumeric()) {
      throw wrongType(name, "a number");
    }
    double value = in.getDoubleValue();
    if (!(value >= least && value <= most)) {
      throw outside(name, "between " + Math.round(least) + " and " + Math.round(most));
    }
    return value;
  }

  private double positive(String name, double most) throws IOException {
    double value = number(name, 0, most);
    if ((float) value == 0) {
      throw outside(name, "above 0 and at most " + Math.round(most));
    }
    return value;
  }

  private double repetitionPenalty(String name) throws IOException {
    double value = number(name, 0, 100);
    if (value < GenerationConfig.LEAST_REPETITION_PENALTY) {
      throw outside(name, "between " + GenerationConfig.LEAST_REPETITION_PENALTY + " and 100");
    }
    return value;
  }

  private static ApiException wrongType(String name, String expected) {
    return ApiException.refused(400, name, "invalid_type", "'" + name + "' must be " + expected);
  }

  private static ApiException outside(String name, String range) {
    return ApiException.refused(400, name, "invalid_value", "'" + name + "' must be " + range);
  }
}
