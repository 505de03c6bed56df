package io.minigpt4.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Somebody who asks for streamed answers, one after the other, about pictures as a rule. */
final class LoadClient {
  private static final List<String> QUESTIONS =
      List.of(
          "Describe this image in detail.",
          "Describe the picture briefly.",
          "How many objects are there?",
          "What is in the centre?",
          "Is there a red circle?",
          "What colour is the background?");

  /** A server that says nothing for so long is lost. */
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  private final HttpClient http;
  private final URI completions;
  private final @Nullable String key;
  private final SplittableRandom random;
  private String known;

  LoadClient(HttpClient http, URI server, @Nullable String key, long seed) {
    this.http = http;
    this.completions = server.resolve("/v1/chat/completions");
    this.key = key;
    this.random = new SplittableRandom(seed);
    this.known = picture(random);
  }

  /** A drawn picture as a data: URI. */
  static String picture(SplittableRandom random) {
    return "data:image/bmp;base64," + Base64.getEncoder().encodeToString(Drawing.bmp(random));
  }

  /**
   * Asks until the time is over.
   *
   * @param end as {@link System#nanoTime} counts
   */
  void run(long end, LoadTally tally) {
    while (System.nanoTime() - end < 0) {
      ask(tally);
    }
  }

  private void ask(LoadTally tally) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(completions)
            .timeout(PATIENCE)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body()));
    if (key != null) {
      request.header("Authorization", "Bearer " + key);
    }
    long start = System.nanoTime();
    try {
      HttpResponse<Stream<String>> response =
          http.send(request.build(), HttpResponse.BodyHandlers.ofLines());
      try (Stream<String> lines = response.body()) {
        if (response.statusCode() != 200) {
          tally.error("status " + response.statusCode() + ": " + lines.findFirst().orElse(""));
          return;
        }
        read(lines.iterator(), start, tally);
      }
    } catch (IOException | RuntimeException e) {
      tally.error(e.toString());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void read(Iterator<String> lines, long start, LoadTally tally) {
    long first = 0;
    int tokens = 0;
    boolean finished = false;
    boolean done = false;
    // To the very end: a body that is given up before may take its connection with it.
    while (lines.hasNext()) {
      String line = lines.next();
      done |= line.equals("data: [DONE]");
      if (done || !line.startsWith("data: ")) {
        continue;
      }
      ConfigNode event = JsonFile.parse("an event", line.substring("data: ".length()));
      if (event.find("error") != null) {
        throw new UserException("an error in a stream: " + line);
      }
      for (ConfigNode choice : event.get("choices").asList()) {
        if (first == 0 && !choice.get("delta").text("content", "").isEmpty()) {
          first = System.nanoTime();
        }
        finished |= !choice.text("finish_reason", "").isEmpty();
      }
      if (event.find("usage") != null) {
        tokens = event.object("usage").integer("completion_tokens", 0, 0, Integer.MAX_VALUE);
      }
    }
    if (!done) {
      tally.error("a stream that breaks off");
    } else if (!finished || first == 0) {
      tally.error("a stream without an answer");
    } else {
      tally.answer(first - start, System.nanoTime() - start, tokens);
    }
  }

  /** A question: now and then about a new picture, without one, or behind an earlier turn. */
  private String body() {
    if (random.nextInt(4) == 0) {
      known = picture(random);
    }
    StringWriter text = new StringWriter();
    try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
      json.writeStartObject();
      json.writeBooleanField("stream", true);
      json.writeObjectFieldStart("stream_options");
      json.writeBooleanField("include_usage", true);
      json.writeEndObject();
      json.writeNumberField("max_tokens", 16 + random.nextInt(100));
      json.writeNumberField("temperature", random.nextBoolean() ? 0 : 1);
      json.writeArrayFieldStart("messages");
      question(json, random.nextInt(8) > 0);
      if (random.nextInt(4) == 0) {
        json.writeStartObject();
        json.writeStringField("role", "assistant");
        json.writeStringField("content", "There are two objects.");
        json.writeEndObject();
        question(json, false);
      }
      json.writeEndArray();
      json.writeEndObject();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    return text.toString();
  }

  private void question(JsonGenerator json, boolean withPicture) throws IOException {
    json.writeStartObject();
    json.writeStringField("role", "user");
    json.writeArrayFieldStart("content");
    json.writeStartObject();
    json.writeStringField("type", "text");
    json.writeStringField("text", QUESTIONS.get(random.nextInt(QUESTIONS.size())));
    json.writeEndObject();
    if (withPicture) {
      json.writeStartObject();
      json.writeStringField("type", "image_url");
      json.writeObjectFieldStart("image_url");
      json.writeStringField("url", known);
      json.writeEndObject();
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeEndObject();
  }
}
