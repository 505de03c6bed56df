package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.text.Prompt;
import it.unimi.dsi.fastutil.ints.IntList;
import java.util.Objects;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A generation that a {@link Batcher} takes through the model beside others. {@link Generator#task}
 * makes it.
 *
 * <p>Not safe for use by several threads; all tasks of a generator belong to one thread.
 */
public final class GenerationTask {
  private final Session session;
  private final int[] prompt;
  private final int cached;
  private final int mostRows;
  private final GenerationListener listener;
  private final AnswerStream answer;
  private final Supplier<@Nullable TokenChoice> beginChoice;
  private final Supplier<Continuation> begin;

  private int computed;
  private boolean choiceBegun;
  private @Nullable TokenChoice choice;
  private @Nullable Continuation continuation;
  private @Nullable Generation result;
  private @Nullable RuntimeException failure;
  private final long begun = System.nanoTime();
  private long prefilled;

  /**
   * @param session holds the prompt's first rows or none; a generation at a time
   * @param mostRows the most sequences of a step: beams
   * @param beginChoice lets the device choose the tokens, if it can and nobody needs scores
   * @param begin makes the answer, once the prompt is computed
   */
  GenerationTask(
      Session session,
      Prompt prompt,
      int mostRows,
      GenerationListener listener,
      AnswerStream answer,
      Supplier<@Nullable TokenChoice> beginChoice,
      Supplier<Continuation> begin) {
    this.session = session;
    this.prompt = prompt.ids();
    this.mostRows = mostRows;
    this.listener = listener;
    this.answer = answer;
    this.beginChoice = beginChoice;
    this.begin = begin;
    this.cached = session.reuse(prompt);
    this.computed = cached;
  }

  /** Rows of the prompt. */
  public int promptTokens() {
    return prompt.length;
  }

  /** Rows of the prompt that the session had computed before. */
  public int cachedTokens() {
    return cached;
  }

  /** The most rows that this task adds to a step. */
  public int mostRows() {
    return mostRows;
  }

  /** Rows of the prompt that are still to be computed. */
  public int promptRowsLeft() {
    return prompt.length - computed;
  }

  /** Whether it has ended, one way or the other. */
  public boolean isDone() {
    return result != null || failure != null;
  }

  /**
   * What came out.
   *
   * @throws RuntimeException what ended it, if that was a failure
   * @throws IllegalStateException if it has not ended yet
   */
  public Generation result() {
    if (failure != null) {
      throw failure;
    }
    Generation done = result;
    if (done == null) {
      throw new IllegalStateException("the generation has not ended yet");
    }
    return done;
  }

  /** Asks the listener of an unfinished prompt whether it shall go on; if not, it has ended. */
  boolean endIfCancelled() {
    boolean cancelled;
    try {
      cancelled = listener.isCancelled();
    } catch (RuntimeException e) {
      fail(e);
      return true;
    }
    if (cancelled) {
      prefilled = System.nanoTime();
      end(IntList.of(), FinishReason.CANCELLED);
    }
    return cancelled;
  }

  /** Whether it waits for scores of its prompt's end. */
  boolean inPrompt() {
    return continuation == null && !isDone();
  }

  /** Adds the next {@code count} rows of the prompt, whose ids go behind those of the batch. */
  void addPrompt(Batch batch, int[] ids, int count) {
    System.arraycopy(prompt, computed, ids, batch.totalRows(), count);
    batch.add(session.cache(), count);
  }

  /** Takes note that the next {@code count} rows of the prompt are computed. */
  void promptComputed(int count) {
    session.computed(prompt, computed, count);
    computed += count;
  }

  /** Sequences that {@link #addStep} would add, one row each. */
  int stepRows() {
    Continuation goingOn = continuation;
    return isDone() || goingOn == null ? 0 : goingOn.rows();
  }

  void addStep(Batch batch, int[] ids) {
    Objects.requireNonNull(continuation).addTo(batch, ids);
  }

  /**
   * Asks for what it needs of a pass: of the prompt's last row, then of what {@link #addStep}
   * added.
   *
   * @param rows how many there are
   */
  void want(PassResults results, int firstRow, int rows) {
    if (!choiceBegun) {
      choice = beginChoice.get();
      choiceBegun = true;
    }
    for (int row = firstRow; row < firstRow + rows; row++) {
      if (choice == null) {
        results.wantScores(row);
      } else {
        results.wantToken(row, choice);
      }
    }
  }

  /** Takes what it asked for by {@link #want}. */
  void accept(PassResults results, int firstRow) {
    try {
      Continuation goingOn = continuation;
      if (goingOn == null) {
        prefilled = System.nanoTime();
        goingOn = begin.get();
        continuation = goingOn;
      }
      if (!goingOn.accept(results, firstRow)) {
        end(goingOn.ids(), goingOn.reason());
      }
    } catch (RuntimeException e) {
      fail(e);
    }
  }

  private void end(IntList ids, FinishReason reason) {
    try {
      answer.finish();
    } catch (RuntimeException e) {
      fail(e);
      return;
    }
    long now = System.nanoTime();
    Timings timings =
        new Timings(prompt.length, cached, ids.size(), prefilled - begun, now - prefilled);
    result = new Generation(ids, answer.answer(), reason, timings);
    closeContinuation();
  }

  /** Ends it without a result. */
  void fail(RuntimeException reason) {
    failure = reason;
    closeContinuation();
  }

  private void closeContinuation() {
    if (continuation != null) {
      continuation.close();
    }
    if (choice != null) {
      choice.close();
    }
  }
}
