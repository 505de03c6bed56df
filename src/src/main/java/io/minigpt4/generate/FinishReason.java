package io.minigpt4.generate;

/** Why a generation ended. */
public enum FinishReason {
  /** The model said that it was done: an end-of-sequence token. */
  EOS,
  /** A stop text or a stop list of ids came up. */
  STOP,
  /** The most new tokens that were asked for, or that the context has room for, are there. */
  LENGTH,
  /** The listener wished so. */
  CANCELLED,
  /** The time that was given for it is over. */
  DEADLINE
}
