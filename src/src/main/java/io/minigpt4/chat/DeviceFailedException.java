package io.minigpt4.chat;

/**
 * The device failed in the middle of an answer and computes nothing any more. The conversation is
 * as it was before the question; {@link ChatSession#resume} goes on with it.
 */
public final class DeviceFailedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one line: which device, and what it said
   * @param cause the call that failed
   */
  public DeviceFailedException(String message, Throwable cause) {
    super(message, cause);
  }
}
