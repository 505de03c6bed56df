package io.minigpt4.train;

import io.minigpt4.tensor.UserException;

/** The loss or a gradient is not finite. All processes that train together find that at once. */
public final class DivergedException extends UserException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one line: where, and what to do
   */
  public DivergedException(String message) {
    super(message);
  }
}
