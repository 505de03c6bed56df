package io.minigpt4.softgpu.ptx;

import java.util.ArrayList;
import java.util.List;

/**
 * Cuts PTX text into statements: braces, labels, directives and instructions, without comments.
 *
 * <p>Directives of one line that end without a semicolon ({@code .version}, {@code .target}, {@code
 * .address_size}, {@code .file}, {@code .loc}) are statements of their own; headers of functions
 * end before their brace.
 */
final class Statements {
  /**
   * @param line of its first character, from 1
   * @param text without the semicolon; "{" and "}" stand alone; labels keep their colon
   */
  record Statement(int line, String text) {}

  private final String text;
  private final List<Statement> out = new ArrayList<>();
  private int at;
  private int line = 1;

  private Statements(String text) {
    this.text = text;
  }

  static List<Statement> of(String ptx) {
    Statements s = new Statements(withoutComments(ptx));
    s.run();
    return s.out;
  }

  /** Replaces comments by blanks so that lines keep their numbers. */
  private static String withoutComments(String ptx) {
    StringBuilder b = new StringBuilder(ptx.length());
    int i = 0;
    while (i < ptx.length()) {
      if (ptx.startsWith("//", i)) {
        while (i < ptx.length() && ptx.charAt(i) != '\n') {
          i++;
        }
      } else if (ptx.startsWith("/*", i)) {
        int end = ptx.indexOf("*/", i + 2);
        end = end < 0 ? ptx.length() : end + 2;
        for (; i < end; i++) {
          if (ptx.charAt(i) == '\n') {
            b.append('\n');
          }
        }
      } else {
        char c = ptx.charAt(i++);
        b.append(c == '\r' || c == '\0' ? ' ' : c);
      }
    }
    return b.toString();
  }

  private void run() {
    while (true) {
      skipBlanks();
      if (at >= text.length()) {
        return;
      }
      int start = line;
      char c = text.charAt(at);
      if (c == '{' || c == '}') {
        at++;
        out.add(new Statement(start, String.valueOf(c)));
      } else if (c == ';') {
        at++;
      } else if (oneLineDirective()) {
        out.add(new Statement(start, upTo('\n')));
      } else {
        statement(start);
      }
    }
  }

  private boolean oneLineDirective() {
    for (String d : List.of(".version", ".target", ".address_size", ".file", ".loc")) {
      int end = at + d.length();
      if (text.startsWith(d, at) && end < text.length() && text.charAt(end) <= ' ') {
        return true;
      }
    }
    return false;
  }

  private void statement(int start) {
    boolean section = text.startsWith(".section", at);
    boolean header = false;
    boolean initialiser = false;
    StringBuilder b = new StringBuilder();
    while (at < text.length()) {
      char c = text.charAt(at);
      if (c == '"') {
        quoted(b);
        continue;
      }
      if (c == ';') {
        at++;
        break;
      }
      if (c == ':' && label(b)) {
        at++;
        b.append(':');
        break;
      }
      if (c == '=' && b.length() > 0 && b.charAt(0) == '.') {
        initialiser = true;
      }
      if (c == '{' && !initialiser && b.length() > 0 && b.charAt(0) == '.') {
        header = true;
        break;
      }
      if (c == '\n') {
        line++;
      }
      b.append(c);
      at++;
    }
    if (section && header) {
      skipSection();
      return;
    }
    out.add(new Statement(start, b.toString().strip()));
  }

  private void quoted(StringBuilder b) {
    b.append(text.charAt(at++));
    while (at < text.length() && text.charAt(at) != '"') {
      b.append(text.charAt(at++));
    }
    if (at < text.length()) {
      b.append(text.charAt(at++));
    }
  }

  /** Debug sections hold nothing that runs. */
  private void skipSection() {
    while (at < text.length() && text.charAt(at) != '}') {
      if (text.charAt(at++) == '\n') {
        line++;
      }
    }
    at++;
  }

  private boolean label(StringBuilder before) {
    if (text.startsWith("::", at) || (at > 0 && text.charAt(at - 1) == ':')) {
      return false;
    }
    String s = before.toString().strip();
    if (s.isEmpty() || s.charAt(0) == '.' || s.charAt(0) == '@') {
      return false;
    }
    return s.chars().allMatch(c -> Character.isLetterOrDigit(c) || c == '_' || c == '$');
  }

  private String upTo(char end) {
    int e = text.indexOf(end, at);
    e = e < 0 ? text.length() : e;
    String s = text.substring(at, e).strip();
    at = e;
    return s;
  }

  private void skipBlanks() {
    while (at < text.length() && text.charAt(at) <= ' ') {
      if (text.charAt(at++) == '\n') {
        line++;
      }
    }
  }
}
