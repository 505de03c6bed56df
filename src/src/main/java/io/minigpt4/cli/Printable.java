package io.minigpt4.cli;

/**
 * Makes text safe to show at a terminal, which obeys control characters: what a model writes or a
 * file is called must not move the cursor, retitle the window or hide a line.
 */
public final class Printable {
  private static final char REPLACEMENT = '\uFFFD';

  private Printable() {}

  /** Text of any number of lines: control characters other than newline and tab are replaced. */
  public static String text(String text) {
    return replaced(text, "\n\t");
  }

  /** Text of one line: every control character is replaced. */
  public static String line(String text) {
    return replaced(text, "");
  }

  // By UTF-16 units, as all control characters (C0, DEL, C1) are one.
  private static String replaced(String text, String kept) {
    for (int i = 0; i < text.length(); i++) {
      if (isUnsafe(text.charAt(i), kept)) {
        StringBuilder safe = new StringBuilder(text);
        for (int j = i; j < safe.length(); j++) {
          if (isUnsafe(safe.charAt(j), kept)) {
            safe.setCharAt(j, REPLACEMENT);
          }
        }
        return safe.toString();
      }
    }
    return text;
  }

  private static boolean isUnsafe(char c, String kept) {
    return Character.isISOControl(c) && kept.indexOf(c) < 0;
  }
}
