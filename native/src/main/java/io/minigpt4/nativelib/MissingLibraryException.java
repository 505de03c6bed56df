package io.minigpt4.nativelib;

/**
 * A native library, or a function in it, is not there. The message is one line that says which,
 * where it was looked for and how to get it.
 */
public final class MissingLibraryException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one line: what is missing, and the remedy
   */
  public MissingLibraryException(String message) {
    super(message);
  }
}
