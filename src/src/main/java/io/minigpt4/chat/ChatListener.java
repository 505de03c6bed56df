package io.minigpt4.chat;

import io.minigpt4.generate.Generation;
import io.minigpt4.generate.TokenScores;
import org.jspecify.annotations.Nullable;

/**
 * Follows one answer of a {@link ChatEngine}. All methods are called on the engine's own thread,
 * which computes for everybody: they must return at once, and wait for nothing. The last call is
 * {@link #finished} or {@link #failed}, one of them, once. An exception thrown here ends this
 * request only.
 */
public interface ChatListener {
  /**
   * The prompt is known and its computation begins.
   *
   * @param promptTokens rows of the prompt, image rows included
   * @param cachedTokens how many of them need not be computed
   */
  default void started(int promptTokens, int cachedTokens) {}

  /**
   * A token was chosen. Beam search does not call this, as its choice is known at the end only.
   *
   * @param scores null unless the request asked for them
   */
  default void token(int id, @Nullable TokenScores scores) {}

  /**
   * A further piece of the answer: whole characters, without stop text. All pieces together, from
   * the last {@link #restarted} on, are the text of the generation.
   */
  default void text(String piece) {}

  /**
   * As {@link #text(String)}, which it calls, with the tokens that the text is made of: of all that
   * {@link #token} was told, those from {@code first} on and before {@code end} begin in text that
   * was given and is not void. What is behind them is held back, or is no part of the answer.
   */
  default void text(String piece, int first, int end) {
    text(piece);
  }

  /**
   * The model wrote its own role's name and began its answer anew, as MiniGPT-4 may; what {@link
   * #text} gave is void.
   */
  default void restarted() {}

  /** The answer is complete, or as complete as it gets. */
  void finished(Generation generation);

  /**
   * There will be no answer.
   *
   * @param reason a {@link io.minigpt4.tensor.UserException} if the request is to blame, a {@link
   *     DeviceFailedException} if the device was lost; anything else is a fault of the engine
   */
  void failed(RuntimeException reason);
}
