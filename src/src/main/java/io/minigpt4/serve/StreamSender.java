package io.minigpt4.serve;

import io.minigpt4.generate.Generation;
import io.minigpt4.serve.AnswerEvents.Event;
import io.minigpt4.serve.AnswerEvents.Restarted;
import io.minigpt4.serve.AnswerEvents.Scored;
import io.minigpt4.serve.AnswerEvents.Text;
import io.minigpt4.serve.CompletionWriter.Usage;
import java.io.IOException;
import java.util.List;

/** Sends each piece as it comes, as server-sent events. */
final class StreamSender extends AnswerSender {
  private final Call call;
  private final CompletionWriter writer;

  StreamSender(Call call, CompletionWriter writer) {
    this.call = call;
    this.writer = writer;
  }

  @Override
  void begin(int choices) throws IOException {
    call.begin("text/event-stream; charset=utf-8");
    for (int i = 0; i < choices; i++) {
      call.piece(writer.first(i));
    }
  }

  @Override
  void event(Event event) throws IOException {
    if (event instanceof Text text) {
      call.piece(writer.piece(text.choice(), text.piece(), takeScores(text.choice())));
    } else if (event instanceof Restarted restarted) {
      call.piece(writer.restarted(restarted.choice()));
    }
  }

  @Override
  void idle() throws IOException {
    call.piece(CompletionWriter.COMMENT);
  }

  @Override
  void finished(int choice, Generation generation, String finishReason, List<Scored> unsent)
      throws IOException {
    call.piece(writer.last(choice, finishReason, unsent));
  }

  @Override
  void end(Usage usage, ChatBody body) throws IOException {
    if (body.includeUsage()) {
      call.piece(writer.usage(usage));
    }
    call.piece(CompletionWriter.DONE);
    call.end();
  }
}
