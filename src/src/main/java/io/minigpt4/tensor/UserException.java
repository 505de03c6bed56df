package io.minigpt4.tensor;

/**
 * Something that the user gave is wrong: a path, a file's content, a flag, a shape. The message is
 * one line that names the thing and the remedy; commands print it without a stack trace and exit
 * with code 2.
 */
public class UserException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one line: what, where, what to do; control characters in it (line breaks and
   *     terminal escapes in names that come out of a file) are replaced
   */
  public UserException(String message) {
    super(oneLine(message));
  }

  /**
   * @param message one line, as above
   * @param cause what was thrown underneath; shown with {@code --debug} only
   */
  public UserException(String message, Throwable cause) {
    super(oneLine(message), cause);
  }

  private static String oneLine(String message) {
    StringBuilder out = new StringBuilder(message.length());
    message
        .codePoints()
        .map(c -> Character.isISOControl(c) ? '?' : c)
        .forEach(out::appendCodePoint);
    return out.toString();
  }
}
