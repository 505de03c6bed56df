package io.minigpt4.serve;

import io.minigpt4.chat.ChatHandle;
import io.minigpt4.chat.ChatListener;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.TokenScores;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * What an engine says about the answers to one request, on its way to the thread that writes to the
 * client. The engine never waits here: if too much piles up because the client does not read, the
 * request is cancelled.
 *
 * <p>To wake a thread for each token would cost a small model a tenth of its speed, because its own
 * threads want all processors. So the writer says from when on it wants to be woken; before, only
 * an end or many events wake it.
 */
final class AnswerEvents {
  private static final int CAPACITY = 4096;

  /** Events for which a writer is woken early. */
  private static final int MANY = CAPACITY / 16;

  /** Something about one of the answers. */
  sealed interface Event {
    int choice();
  }

  /** The prompt's tokens, and those of them that were known. */
  record Started(int choice, int promptTokens, int cachedTokens) implements Event {}

  /** A token with its scores. */
  record Scored(int choice, int id, TokenScores scores) implements Event {}

  /**
   * A piece of the answer; tokens from {@code first} on and before {@code end} are what all pieces
   * so far are made of.
   */
  record Text(int choice, String piece, int first, int end) implements Event {}

  /** All pieces so far are void. */
  record Restarted(int choice) implements Event {}

  /** The end of an answer. */
  record Finished(int choice, Generation generation) implements Event {}

  /** No answer. */
  record Failed(int choice, RuntimeException reason) implements Event {}

  private final long arrival;
  private final Metrics metrics;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition more = lock.newCondition();
  private List<Event> events = new ArrayList<>();
  private boolean overflowed;

  /** Whether an end is among the events. */
  private boolean ended;

  /** Whether the writer waits for whatever comes. */
  private boolean awaited;

  private @Nullable ChatHandle handle;

  AnswerEvents(long arrival, Metrics metrics) {
    this.arrival = arrival;
    this.metrics = metrics;
  }

  /** Tells what to cancel when too much piles up. */
  void cancels(ChatHandle request) {
    lock.lock();
    try {
      handle = request;
    } finally {
      lock.unlock();
    }
  }

  private void add(Event event) {
    lock.lock();
    try {
      boolean isEnd = event instanceof Finished || event instanceof Failed;
      if (events.size() >= CAPACITY && !isEnd) {
        overflowed = true;
        if (handle != null) {
          handle.cancel();
        }
        more.signal();
        return;
      }
      events.add(event);
      ended |= isEnd;
      if (awaited || ended || events.size() >= MANY) {
        more.signal();
      }
    } finally {
      lock.unlock();
    }
  }

  /** Whether events were lost because nobody took them. */
  boolean overflowed() {
    lock.lock();
    try {
      return overflowed;
    } finally {
      lock.unlock();
    }
  }

  /**
   * The events that have come, oldest first. Waits until there are some and it is late enough; an
   * end, or many events, end the waiting at any time.
   *
   * @param notBefore when it is late enough, as {@link System#nanoTime} counts
   * @param patience how long to wait at most
   * @return empty if nothing came
   */
  List<Event> take(long notBefore, Duration patience) throws InterruptedException {
    long end = System.nanoTime() + patience.toNanos();
    lock.lockInterruptibly();
    try {
      long now = System.nanoTime();
      while (!ended && !overflowed && events.size() < MANY && now - end < 0) {
        awaited = now - notBefore >= 0;
        if (awaited && !events.isEmpty()) {
          break;
        }
        more.awaitNanos((awaited ? end : earlier(notBefore, end)) - now);
        now = System.nanoTime();
      }
      awaited = false;
      ended = false;
      List<Event> taken = events;
      events = new ArrayList<>();
      return taken;
    } finally {
      lock.unlock();
    }
  }

  private static long earlier(long a, long b) {
    return a - b < 0 ? a : b;
  }

  /** Listens to one of the answers. */
  ChatListener listener(int choice) {
    return new Listener(choice);
  }

  private final class Listener implements ChatListener {
    private final int choice;
    private long lastToken;

    Listener(int choice) {
      this.choice = choice;
    }

    @Override
    public void started(int promptTokens, int cachedTokens) {
      add(new Started(choice, promptTokens, cachedTokens));
    }

    @Override
    public void token(int id, @Nullable TokenScores scores) {
      measure();
      if (scores != null) {
        add(new Scored(choice, id, scores));
      }
    }

    /** The first token's time counts from the request, the others' from the one before. */
    private void measure() {
      long now = System.nanoTime();
      if (lastToken == 0) {
        metrics.firstToken.add(now - arrival);
      } else {
        metrics.nextToken.add(now - lastToken);
      }
      lastToken = now;
    }

    @Override
    public void text(String piece, int first, int end) {
      if (lastToken == 0) {
        measure(); // beam search has no tokens before the end
      }
      add(new Text(choice, piece, first, end));
    }

    @Override
    public void restarted() {
      add(new Restarted(choice));
    }

    @Override
    public void finished(Generation generation) {
      add(new Finished(choice, generation));
    }

    @Override
    public void failed(RuntimeException reason) {
      add(new Failed(choice, reason));
    }
  }
}
