package io.minigpt4.generate;

import org.jspecify.annotations.Nullable;

/** Follows a generation while it runs, on the thread that runs it. */
public interface GenerationListener {
  /** One that looks at nothing. */
  GenerationListener NONE = new GenerationListener() {};

  /**
   * Older context had to be cut off to make room for the answer.
   *
   * @param rows how many of the prompt's first rows were dropped
   */
  default void onTrim(int rows) {}

  /**
   * A token was chosen. Beam search does not call this, as its choice is known at the end only.
   *
   * @param scores how likely it was, if that was asked for
   */
  default void onToken(int id, @Nullable TokenScores scores) {}

  /**
   * A further piece of the answer. All pieces together, from the last {@link #onRestart} on, are
   * exactly {@link Generation#text}.
   */
  default void onText(String piece) {}

  /**
   * As {@link #onText(String)}, which it calls, for those who want to know which tokens the text is
   * made of: of all tokens so far, those from {@code first} on and before {@code end} begin in text
   * that was given and is not void. What is behind them is held back, or is no part of the answer.
   */
  default void onText(String piece, int first, int end) {
    onText(piece);
  }

  /** The model began its answer anew ({@code Assistant:}); what {@link #onText} gave is void. */
  default void onRestart() {}

  /** Asked before every pass through the model; true ends the generation. */
  default boolean isCancelled() {
    return false;
  }
}
