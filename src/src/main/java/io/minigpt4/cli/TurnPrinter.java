package io.minigpt4.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import io.minigpt4.chat.Answer;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.generate.Timings;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Locale;
import java.util.function.BooleanSupplier;

/** Shows answers: streamed as text, or as one JSON object a line. */
final class TurnPrinter {
  /**
   * ASCII only, so that no locale, and no character that some readers end lines at, spoils a line.
   */
  private static final JsonFactory JSON =
      JsonFactory.builder().enable(JsonWriteFeature.ESCAPE_NON_ASCII).build();

  private final PrintWriter out;
  private final boolean outIsTerminal;
  private final Sink err;
  private final boolean json;
  private final BooleanSupplier cancelled;

  /**
   * @param out where answers go
   * @param err where warnings go, and if it is a terminal what takes long
   * @param cancelled whether the answer that is being generated is to stop
   */
  TurnPrinter(Sink out, Sink err, boolean json, BooleanSupplier cancelled) {
    this.out = out.writer();
    this.outIsTerminal = out.terminal();
    this.err = err;
    this.json = json;
    this.cancelled = cancelled;
  }

  /** Begins a wait for something that may take long. */
  Waiting waiting(String what) {
    return Waiting.begin(err, what);
  }

  /**
   * Follows the generation of one answer.
   *
   * @param waiting ends with the answer's first text
   */
  GenerationListener listener(Waiting waiting) {
    return new GenerationListener() {
      @Override
      public void onTrim(int rows) {
        waiting.end();
        out.flush();
        Commands.warn(
            err.writer(),
            "the conversation has outgrown the model's context: its first "
                + rows
                + " tokens were left out");
      }

      @Override
      public void onText(String piece) {
        waiting.end();
        if (!json) {
          out.print(outIsTerminal ? Printable.text(piece) : piece);
          out.flush();
        }
      }

      @Override
      public void onRestart() {
        if (!json) {
          out.println();
        }
      }

      @Override
      public boolean isCancelled() {
        // A reader that went away (… | head) needs no more tokens either.
        return cancelled.getAsBoolean() || out.checkError();
      }
    };
  }

  /** Ends an answer, whose text the listener has shown in text mode. */
  void show(Answer answer, List<String> images, GenerationConfig config) {
    out.println(json ? object(answer, images, config) : "");
    out.flush();
  }

  /**
   * Ends a turn that came to nothing. A program that reads JSON gets an object for it as for any
   * other turn, with the finish reason {@code error}; a person has the message on stderr.
   */
  void refuse(String question, List<String> images, GenerationConfig config, String error) {
    if (json) {
      Timings none = new Timings(0, 0, 0, 0, 0);
      out.println(
          line(
              to -> {
                writeTurn(to, question, images, new int[0], "", "error", config);
                to.writeStringField("error", error);
                writeTimings(to, none, 0);
              }));
      out.flush();
    }
  }

  private static String object(Answer answer, List<String> images, GenerationConfig config) {
    Generation generation = answer.generation();
    String reason = generation.finishReason().name().toLowerCase(Locale.ROOT);
    int[] ids = generation.ids().toIntArray();
    return line(
        to -> {
          writeTurn(to, answer.question(), images, ids, answer.text(), reason, config);
          writeTimings(to, generation.timings(), answer.imageNanos());
        });
  }

  private interface Fields {
    void write(JsonGenerator to) throws IOException;
  }

  private static String line(Fields fields) {
    StringWriter line = new StringWriter();
    try (JsonGenerator to = JSON.createGenerator(line)) {
      to.writeStartObject();
      fields.write(to);
      to.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return line.toString();
  }

  private static void writeTurn(
      JsonGenerator to,
      String question,
      List<String> images,
      int[] ids,
      String text,
      String reason,
      GenerationConfig config)
      throws IOException {
    to.writeArrayFieldStart("images");
    for (String image : images) {
      to.writeString(image);
    }
    to.writeEndArray();
    to.writeStringField("prompt", question);
    to.writeFieldName("token_ids");
    to.writeArray(ids, 0, ids.length);
    to.writeStringField("text", text);
    to.writeStringField("finish_reason", reason);
    to.writeNumberField("seed", config.seed());
  }

  private static void writeTimings(JsonGenerator to, Timings timings, long imageNanos)
      throws IOException {
    to.writeObjectFieldStart("timings");
    to.writeNumberField("prompt_tokens", timings.promptTokens());
    to.writeNumberField("cached_tokens", timings.cachedTokens());
    to.writeNumberField("new_tokens", timings.newTokens());
    to.writeNumberField("image_ms", milliseconds(imageNanos));
    to.writeNumberField("prefill_ms", milliseconds(timings.prefillNanos()));
    to.writeNumberField("decode_ms", milliseconds(timings.decodeNanos()));
    to.writeNumberField(
        "tokens_per_second", Math.round(timings.decodeTokensPerSecond() * 100) / 100.0);
    to.writeEndObject();
  }

  private static double milliseconds(long nanos) {
    return Math.round(nanos / 1e4) / 100.0;
  }
}
