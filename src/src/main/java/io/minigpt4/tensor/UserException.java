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

  /** Characters that a message keeps of its beginning, and of its end. */
  private static final int BEGINNING = 3000;

  private static final int END = 1000;

  /**
   * @param message one line: what, where, what to do; control characters in it (line breaks and
   *     terminal escapes in names that come out of a file) are replaced, the middle of what is
   *     longer than 4000 characters (a damaged file has such names) is left out
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
    String text = message;
    if (text.length() > BEGINNING + END) {
      text = text.substring(0, BEGINNING) + " [...] " + text.substring(text.length() - END);
    }
    StringBuilder out = new StringBuilder(text.length());
    text.codePoints().map(c -> Character.isISOControl(c) ? '?' : c).forEach(out::appendCodePoint);
    return out.toString();
  }
}
