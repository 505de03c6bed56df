package io.minigpt4.chat;

/** An engine has as many requests waiting as it takes; the same request may succeed later. */
public final class QueueFullException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int retryAfterSeconds;

  QueueFullException(int waiting, int retryAfterSeconds) {
    super(waiting + " requests are waiting already; try again in " + retryAfterSeconds + " s");
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** An estimate of when a place in the queue will be free, in seconds, at least 1. */
  public int retryAfterSeconds() {
    return retryAfterSeconds;
  }
}
