package io.minigpt4.chat;

/** A request that was submitted to a {@link ChatEngine}. */
public interface ChatHandle {
  /**
   * Ends the request: at once if it waits, at the next token if it runs. Its listener hears {@link
   * ChatListener#finished} as for any other end. May be called from any thread, and more than once.
   */
  void cancel();
}
