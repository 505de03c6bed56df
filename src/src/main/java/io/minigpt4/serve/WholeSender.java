package io.minigpt4.serve;

import io.minigpt4.generate.Generation;
import io.minigpt4.serve.CompletionWriter.Answer;
import io.minigpt4.serve.CompletionWriter.Usage;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Sends all answers as one JSON object. While it takes long, blanks go before it, which JSON
 * allows: otherwise nobody would notice that the client has gone.
 */
final class WholeSender extends AnswerSender {
  private static final long BLANKS_AFTER_NANOS = 5_000_000_000L;

  /** Nothing is sent before the end but blanks. */
  private static final Duration PAUSE = Duration.ofSeconds(1);

  private static final byte[] BLANK = {' '};

  private final Call call;
  private final CompletionWriter writer;
  private final SortedMap<Integer, Answer> answers = new TreeMap<>();
  private long lastSign = System.nanoTime();

  WholeSender(Call call, CompletionWriter writer) {
    super(PAUSE);
    this.call = call;
    this.writer = writer;
  }

  @Override
  void begin(int choices) {}

  @Override
  void text(int choice, String piece) {
    // The generation holds all of it.
  }

  @Override
  void restarted(int choice) {
    // Nothing has been sent that could be void.
  }

  @Override
  void flush() throws IOException {
    idle();
  }

  @Override
  void idle() throws IOException {
    long now = System.nanoTime();
    if (now - lastSign < BLANKS_AFTER_NANOS) {
      return;
    }
    lastSign = now;
    if (!call.hasBegun()) {
      call.begin(Call.JSON);
    }
    call.piece(BLANK);
  }

  @Override
  void finished(int choice, Generation generation, String finishReason) {
    answers.put(choice, new Answer(generation.text(), finishReason, takeScores(choice)));
  }

  @Override
  void end(Usage usage, ChatBody body) throws IOException {
    byte[] whole = writer.whole(List.copyOf(answers.values()), usage);
    if (call.hasBegun()) {
      call.piece(whole);
      call.end();
    } else {
      call.json(200, whole);
    }
  }
}
