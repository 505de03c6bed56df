package io.minigpt4.tensor;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

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

  /** Why the operating system refused something, without the path that Java puts before it. */
  public static String reason(IOException e) {
    if (e instanceof AccessDeniedException) {
      return "permission denied";
    }
    if (e instanceof NoSuchFileException) {
      return "no such file or folder";
    }
    if (e instanceof FileSystemException file && file.getReason() != null) {
      return file.getReason();
    }
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
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
