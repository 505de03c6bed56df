package io.minigpt4.serve;

import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.generate.TokenScores;
import io.minigpt4.serve.AnswerEvents.Scored;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Writes the answers to one request as OpenAI's clients read them. */
final class CompletionWriter {
  private static final byte[] DATA = "data: ".getBytes(StandardCharsets.UTF_8);
  private static final byte[] END = "\n\n".getBytes(StandardCharsets.UTF_8);

  /** What ends a stream. */
  static final byte[] DONE = "data: [DONE]\n\n".getBytes(StandardCharsets.UTF_8);

  /** A line that clients skip. */
  static final byte[] COMMENT = ": still here\n\n".getBytes(StandardCharsets.UTF_8);

  private final String id;
  private final long created;
  private final String model;
  private final Tokenizer tokenizer;
  private final ChatBody body;

  /** A whole answer. */
  record Answer(String text, String finishReason, List<Scored> scores) {}

  /** Numbers of tokens. */
  record Usage(int prompt, int cached, int completion) {}

  CompletionWriter(String id, String model, Tokenizer tokenizer, ChatBody body) {
    this.id = id;
    this.created = System.currentTimeMillis() / 1000;
    this.model = model;
    this.tokenizer = tokenizer;
    this.body = body;
  }

  /** All answers at once. */
  byte[] whole(List<Answer> answers, Usage usage) {
    return Json.bytes(
        json -> {
          head(json, "chat.completion");
          json.writeArrayFieldStart("choices");
          for (int i = 0; i < answers.size(); i++) {
            Answer answer = answers.get(i);
            json.writeStartObject();
            json.writeNumberField("index", i);
            json.writeObjectFieldStart("message");
            json.writeStringField("role", "assistant");
            json.writeStringField("content", answer.text());
            json.writeNullField("refusal");
            json.writeEndObject();
            logprobs(json, answer.scores());
            json.writeStringField("finish_reason", answer.finishReason());
            json.writeEndObject();
          }
          json.writeEndArray();
          json.writeFieldName("usage");
          usage(json, usage);
          json.writeEndObject();
        });
  }

  /** The first event of an answer in a stream. */
  byte[] first(int choice) {
    return chunk(
        choice,
        json -> {
          json.writeStringField("role", "assistant");
          json.writeStringField("content", "");
        },
        List.of(),
        null,
        false);
  }

  /** A further piece. */
  byte[] piece(int choice, String text, List<Scored> scores) {
    return chunk(choice, json -> json.writeStringField("content", text), scores, null, false);
  }

  /** Says that all pieces of an answer so far are void. */
  byte[] restarted(int choice) {
    return chunk(choice, json -> {}, List.of(), null, true);
  }

  /** The end of one answer. */
  byte[] last(int choice, String finishReason) {
    return chunk(choice, json -> {}, List.of(), finishReason, false);
  }

  private byte[] chunk(
      int choice,
      Json.Writing delta,
      List<Scored> scores,
      @Nullable String finishReason,
      boolean restarted) {
    return event(
        json -> {
          head(json, "chat.completion.chunk");
          json.writeArrayFieldStart("choices");
          json.writeStartObject();
          json.writeNumberField("index", choice);
          json.writeObjectFieldStart("delta");
          delta.to(json);
          json.writeEndObject();
          logprobs(json, scores);
          Json.string(json, "finish_reason", finishReason);
          if (restarted) {
            json.writeBooleanField("restarted", true);
          }
          json.writeEndObject();
          json.writeEndArray();
          if (body.includeUsage()) {
            json.writeNullField("usage");
          }
          json.writeEndObject();
        });
  }

  /** The event behind the answers' ends, if the client wants one. */
  byte[] usage(Usage usage) {
    return event(
        json -> {
          head(json, "chat.completion.chunk");
          json.writeArrayFieldStart("choices");
          json.writeEndArray();
          json.writeFieldName("usage");
          usage(json, usage);
          json.writeEndObject();
        });
  }

  /** An error in a stream that has begun. */
  static byte[] error(ApiException e) {
    return framed(Json.error(e));
  }

  private static byte[] event(Json.Writing value) {
    return framed(Json.bytes(value));
  }

  private static byte[] framed(byte[] value) {
    byte[] event = new byte[DATA.length + value.length + END.length];
    System.arraycopy(DATA, 0, event, 0, DATA.length);
    System.arraycopy(value, 0, event, DATA.length, value.length);
    System.arraycopy(END, 0, event, DATA.length + value.length, END.length);
    return event;
  }

  private void head(JsonGenerator json, String object) throws IOException {
    json.writeStartObject();
    json.writeStringField("id", id);
    json.writeStringField("object", object);
    json.writeNumberField("created", created);
    json.writeStringField("model", model);
  }

  private static void usage(JsonGenerator json, Usage usage) throws IOException {
    json.writeStartObject();
    json.writeNumberField("prompt_tokens", usage.prompt());
    json.writeNumberField("completion_tokens", usage.completion());
    json.writeNumberField("total_tokens", usage.prompt() + usage.completion());
    json.writeObjectFieldStart("prompt_tokens_details");
    json.writeNumberField("cached_tokens", usage.cached());
    json.writeEndObject();
    json.writeEndObject();
  }

  // ---- log-probabilities

  private void logprobs(JsonGenerator json, List<Scored> scores) throws IOException {
    if (!body.logprobs() || scores.isEmpty()) {
      json.writeNullField("logprobs");
      return;
    }
    json.writeObjectFieldStart("logprobs");
    json.writeArrayFieldStart("content");
    for (Scored scored : scores) {
      if (tokenizer.isControl(scored.id())) {
        continue; // an end of sequence is no text
      }
      json.writeStartObject();
      token(json, scored.id(), scored.scores().logProbability());
      json.writeArrayFieldStart("top_logprobs");
      List<TokenScores.Rival> top = scored.scores().top();
      for (TokenScores.Rival rival : top.subList(0, Math.min(body.topLogprobs(), top.size()))) {
        json.writeStartObject();
        token(json, rival.id(), rival.logProbability());
        json.writeEndObject();
      }
      json.writeEndArray();
      json.writeEndObject();
    }
    json.writeEndArray();
    json.writeNullField("refusal");
    json.writeEndObject();
  }

  private void token(JsonGenerator json, int id, float logProbability) throws IOException {
    String piece = tokenizer.piece(id).replace('\u2581', ' ');
    boolean isByte = piece.matches("<0x[0-9A-Fa-f]{2}>");
    byte[] bytes =
        isByte
            ? new byte[] {(byte) Integer.parseInt(piece, 3, 5, 16)}
            : piece.getBytes(StandardCharsets.UTF_8);
    String shown = isByte ? "\\x" + piece.substring(3, 5).toLowerCase(Locale.ROOT) : piece;
    json.writeStringField("token", shown);
    json.writeNumberField("logprob", Math.max(-9999f, logProbability)); // −∞ is no number in JSON
    json.writeArrayFieldStart("bytes");
    for (byte b : bytes) {
      json.writeNumber(b & 0xFF);
    }
    json.writeEndArray();
  }
}
