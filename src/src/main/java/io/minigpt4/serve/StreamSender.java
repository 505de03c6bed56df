package io.minigpt4.serve;

import io.minigpt4.generate.Generation;
import io.minigpt4.serve.CompletionWriter.Usage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Sends pieces as they come, as server-sent events. What comes within {@link #PAUSE} of the piece
 * before goes together: nobody sees the difference, and a small model's tokens come so fast that a
 * write for each would take a good part of the processors.
 */
final class StreamSender extends AnswerSender {
  private static final Duration PAUSE = Duration.ofMillis(10);

  private final Call call;
  private final CompletionWriter writer;

  /** Text of each answer that is not among the events yet. */
  private final List<StringBuilder> texts = new ArrayList<>();

  /** Events that are not sent yet. */
  private final ByteArrayOutputStream unsent = new ByteArrayOutputStream();

  StreamSender(Call call, CompletionWriter writer) {
    super(PAUSE);
    this.call = call;
    this.writer = writer;
  }

  @Override
  void begin(int choices) throws IOException {
    call.begin("text/event-stream; charset=utf-8");
    for (int i = 0; i < choices; i++) {
      texts.add(new StringBuilder());
      unsent.writeBytes(writer.first(i));
    }
    flush();
  }

  @Override
  void text(int choice, String piece) {
    texts.get(choice).append(piece);
  }

  @Override
  void restarted(int choice) {
    texts.get(choice).setLength(0);
    unsent.writeBytes(writer.restarted(choice));
  }

  @Override
  void finished(int choice, Generation generation, String finishReason) {
    addText(choice);
    unsent.writeBytes(writer.last(choice, finishReason));
  }

  private void addText(int choice) {
    StringBuilder text = texts.get(choice);
    if (!text.isEmpty()) {
      unsent.writeBytes(writer.piece(choice, text.toString(), takeScores(choice)));
      text.setLength(0);
    }
  }

  @Override
  void flush() throws IOException {
    for (int i = 0; i < texts.size(); i++) {
      addText(i);
    }
    if (unsent.size() > 0) {
      call.piece(unsent.toByteArray());
      unsent.reset();
    }
  }

  @Override
  void idle() throws IOException {
    call.piece(CompletionWriter.COMMENT);
  }

  @Override
  void end(Usage usage, ChatBody body) throws IOException {
    if (body.includeUsage()) {
      unsent.writeBytes(writer.usage(usage));
    }
    unsent.writeBytes(CompletionWriter.DONE);
    flush();
    call.end();
  }
}
