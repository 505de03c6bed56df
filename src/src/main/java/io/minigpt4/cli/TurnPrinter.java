package io.minigpt4.cli;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.chat.Answer;
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
  private final PrintWriter out;
  private final PrintWriter err;
  private final boolean json;
  private final boolean terminal;
  private final BooleanSupplier cancelled;

  /**
   * @param terminal whether err is one, to show there what takes long
   * @param cancelled whether the answer that is being generated is to stop
   */
  TurnPrinter(
      PrintWriter out, PrintWriter err, boolean json, boolean terminal, BooleanSupplier cancelled) {
    this.out = out;
    this.err = err;
    this.json = json;
    this.terminal = terminal;
    this.cancelled = cancelled;
  }

  /** Begins a wait for something that may take long. */
  Waiting waiting(String what) {
    return Waiting.begin(err, terminal, what);
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
            err,
            "the conversation has outgrown the model's context: its first "
                + rows
                + " tokens were left out");
      }

      @Override
      public void onText(String piece) {
        waiting.end();
        if (!json) {
          out.print(piece);
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

  private static String object(Answer answer, List<String> images, GenerationConfig config) {
    StringWriter line = new StringWriter();
    try (JsonGenerator to = new JsonFactory().createGenerator(line)) {
      to.writeStartObject();
      to.writeArrayFieldStart("images");
      for (String image : images) {
        to.writeString(image);
      }
      to.writeEndArray();
      to.writeStringField("prompt", answer.question());
      to.writeFieldName("token_ids");
      int[] ids = answer.generation().ids().toIntArray();
      to.writeArray(ids, 0, ids.length);
      to.writeStringField("text", answer.text());
      to.writeStringField(
          "finish_reason", answer.generation().finishReason().name().toLowerCase(Locale.ROOT));
      to.writeNumberField("seed", config.seed());
      writeTimings(to, answer);
      to.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return line.toString();
  }

  private static void writeTimings(JsonGenerator to, Answer answer) throws IOException {
    Timings timings = answer.generation().timings();
    to.writeObjectFieldStart("timings");
    to.writeNumberField("prompt_tokens", timings.promptTokens());
    to.writeNumberField("cached_tokens", timings.cachedTokens());
    to.writeNumberField("new_tokens", timings.newTokens());
    to.writeNumberField("image_ms", milliseconds(answer.imageNanos()));
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
