package io.minigpt4.serve;

import io.minigpt4.chat.DeviceFailedException;
import io.minigpt4.generate.FinishReason;
import io.minigpt4.generate.Generation;
import io.minigpt4.serve.AnswerEvents.Event;
import io.minigpt4.serve.AnswerEvents.Failed;
import io.minigpt4.serve.AnswerEvents.Finished;
import io.minigpt4.serve.AnswerEvents.Restarted;
import io.minigpt4.serve.AnswerEvents.Scored;
import io.minigpt4.serve.AnswerEvents.Started;
import io.minigpt4.serve.AnswerEvents.Text;
import io.minigpt4.serve.CompletionWriter.Usage;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/** Turns what the engine says about the answers to a request into what the client gets. */
abstract class AnswerSender {
  /** After so long without news the client gets a sign of life, which tells whether it is there. */
  private static final Duration PATIENCE = Duration.ofSeconds(2);

  /** How long to let events gather once some have been taken. */
  private final Duration pause;

  private final List<Scores> scores = new ArrayList<>();
  private int unfinished;
  private int promptTokens;
  private int cachedTokens;
  private int newTokens;

  AnswerSender(Duration pause) {
    this.pause = pause;
  }

  /**
   * Waits for all answers and sends them.
   *
   * @throws ApiException if there are none
   * @throws IOException if the client has gone
   */
  final void send(AnswerEvents events, ChatBody body) throws IOException, InterruptedException {
    for (int i = 0; i < body.choices(); i++) {
      scores.add(new Scores());
    }
    begin(body.choices());
    unfinished = body.choices();
    long notBefore = System.nanoTime();
    while (unfinished > 0) {
      List<Event> news = events.take(notBefore, PATIENCE);
      if (events.overflowed()) {
        throw new IOException("the client does not read");
      }
      try {
        for (Event event : news) {
          take(event);
        }
      } catch (RuntimeException e) {
        flush(); // what came before the failure
        throw e;
      }
      if (news.isEmpty()) {
        idle();
      } else {
        flush();
      }
      notBefore = System.nanoTime() + pause.toNanos();
    }
    end(new Usage(promptTokens, cachedTokens, newTokens), body);
  }

  private void take(Event event) throws IOException {
    switch (event) {
      case Started started -> {
        promptTokens = started.promptTokens();
        // Of several answers the first one computes what the others then find.
        cachedTokens = started.choice() == 0 ? started.cachedTokens() : cachedTokens;
      }
      case Scored scored -> scores.get(scored.choice()).waiting.add(scored);
      case Finished finished -> {
        newTokens += finished.generation().ids().size();
        finished(finished.choice(), finished.generation(), finishReason(finished.generation()));
        unfinished--;
      }
      case Failed failed -> throw failure(failed.reason());
      case Restarted restarted -> {
        scores.get(restarted.choice()).text.clear();
        restarted(restarted.choice());
      }
      case Text text -> {
        scores.get(text.choice()).upTo(text.first(), text.end());
        text(text.choice(), text.piece());
      }
    }
  }

  /**
   * The scores of the tokens that a choice's text so far is made of, without those that were taken
   * before. Tokens that only spell a stop text, or blanks around the answer's words, are never
   * among them.
   */
  final List<Scored> takeScores(int choice) {
    return scores.get(choice).take();
  }

  /** Scores of one answer's tokens on their way to the client. */
  private static final class Scores {
    /** Of tokens whose text may still turn out to be no part of the answer. */
    final Deque<Scored> waiting = new ArrayDeque<>();

    /** Of tokens whose text is in the answer. */
    List<Scored> text = new ArrayList<>();

    /** The number of the first token that waits. */
    private int next;

    /** Tokens before {@code first} are no text, those from there to {@code end} are. */
    void upTo(int first, int end) {
      for (; next < end && !waiting.isEmpty(); next++) {
        Scored scored = waiting.remove();
        if (next >= first) {
          text.add(scored);
        }
      }
    }

    List<Scored> take() {
      List<Scored> taken = text;
      text = new ArrayList<>();
      return taken;
    }
  }

  abstract void begin(int choices) throws IOException;

  /** A piece of an answer. */
  abstract void text(int choice, String piece);

  /** All pieces of an answer so far are void. */
  abstract void restarted(int choice);

  /** There are no more events for now. */
  abstract void flush() throws IOException;

  /** Nothing has come for a while. */
  abstract void idle() throws IOException;

  abstract void finished(int choice, Generation generation, String finishReason);

  abstract void end(Usage usage, ChatBody body) throws IOException;

  private static String finishReason(Generation generation) {
    FinishReason reason = generation.finishReason();
    return switch (reason) {
      case EOS, STOP -> "stop";
      case LENGTH -> "length";
      case DEADLINE -> {
        if (generation.ids().isEmpty()) {
          throw ApiException.busy(
              503, "timeout", "the time limit was over before an answer began", 10);
        }
        yield "length";
      }
      case CANCELLED ->
          throw ApiException.busy(503, "shutting_down", "the server is shutting down", 10);
    };
  }

  private static RuntimeException failure(RuntimeException reason) {
    if (reason instanceof UserException) {
      return ApiException.badRequest("messages", String.valueOf(reason.getMessage()));
    }
    if (reason instanceof DeviceFailedException) {
      return Server.deviceFailed();
    }
    return reason;
  }
}
