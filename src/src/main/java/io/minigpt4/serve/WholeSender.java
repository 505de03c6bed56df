package io.minigpt4.serve;

import io.minigpt4.generate.Generation;
import io.minigpt4.serve.AnswerEvents.Event;
import io.minigpt4.serve.AnswerEvents.Scored;
import io.minigpt4.serve.CompletionWriter.Answer;
import io.minigpt4.serve.CompletionWriter.Usage;
import java.io.IOException;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Sends all answers as one JSON object. While it takes long, blanks go before it, which JSON
 * allows: otherwise nobody would notice that the client has gone.
 */
final class WholeSender extends AnswerSender {
  private static final long BLANKS_AFTER_NANOS = 5_000_000_000L;
  private static final byte[] BLANK = {' '};

  private final Call call;
  private final CompletionWriter writer;
  private final SortedMap<Integer, Answer> answers = new TreeMap<>();
  private long lastSign = System.nanoTime();

  WholeSender(Call call, CompletionWriter writer) {
    this.call = call;
    this.writer = writer;
  }

  @Override
  void begin(int choices) {}

  @Override
  void event(Event event) throws IOException {
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
  void finished(int choice, Generation generation, String finishReason, List<Scored> unsent) {
    answers.put(choice, new Answer(generation.text(), finishReason, unsent));
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
