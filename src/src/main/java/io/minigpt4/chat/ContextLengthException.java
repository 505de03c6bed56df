package io.minigpt4.chat;

import io.minigpt4.tensor.UserException;

/** A conversation and the longest answer that was asked for do not fit the context together. */
public final class ContextLengthException extends UserException {
  private static final long serialVersionUID = 1L;

  ContextLengthException(String message) {
    super(message);
  }
}
