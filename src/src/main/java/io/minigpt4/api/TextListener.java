package io.minigpt4.api;

/** Hears an answer while it is written, on the thread that waits for it; it may take its time. */
@FunctionalInterface
public interface TextListener {
  /** Nobody listens. */
  TextListener NONE = piece -> {};

  /** A further piece of the answer: whole characters, without the text that ends it. */
  void text(String piece);

  /**
   * All pieces so far are void: the model wrote its own role's name and began anew, as MiniGPT-4
   * may.
   */
  default void restarted() {}
}
