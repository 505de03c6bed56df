package io.minigpt4.generate;

import io.minigpt4.text.ChatTemplate;
import io.minigpt4.text.StreamDecoder;
import io.minigpt4.text.Tokenizer;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.util.ArrayList;
import java.util.List;

/**
 * Turns tokens into the answer while they come: finds stop texts, however they are cut into tokens,
 * and gives a listener only text that is certain to stay in the answer. Held back is what may be
 * the beginning of a stop text or of the role label, and white space that may turn out to be the
 * answer's end.
 */
final class AnswerStream {
  private final int unkId;
  private final StreamDecoder decoder;
  private final String[] stops;
  private final String label;
  private final String[] awaited;
  private final GenerationListener listener;

  private final StringBuilder text = new StringBuilder();

  /** Where in the text each token begins. */
  private final IntArrayList begins = new IntArrayList();

  private boolean stopped;

  /** Where the answer begins: behind the last role label. */
  private int start;

  /** The answer up to here was given to the listener; white space before its first word counts. */
  private int given;

  private boolean anyGiven;

  /** The first token that is not wholly before {@link #start}. */
  private int firstToken;

  /** The first token that does not begin before {@link #given}. */
  private int endToken;

  AnswerStream(
      Tokenizer tokenizer,
      ChatTemplate template,
      List<String> stopTexts,
      GenerationListener listener) {
    this.unkId = tokenizer.unkId();
    this.decoder = tokenizer.streamDecoder();
    this.label = template.assistant() + ":";
    List<String> texts = new ArrayList<>(stopTexts);
    texts.add(template.separator());
    this.stops = texts.toArray(String[]::new);
    texts.add(label);
    this.awaited = texts.toArray(String[]::new);
    this.listener = listener;
  }

  /**
   * Takes the next token.
   *
   * @return whether a stop text is complete, which ends the answer
   */
  boolean append(int id) {
    int before = text.length();
    begins.add(before);
    if (begins.size() > 1 || id != unkId) {
      decoder.append(id, text);
      scan(before);
      give(text.length() - heldBack());
    }
    return stopped;
  }

  /** Takes note that no more tokens come and gives what was held back. */
  void finish() {
    if (!stopped) {
      int before = text.length();
      decoder.finish(text);
      scan(before);
      give(text.length());
    }
  }

  /** The answer so far. */
  String answer() {
    return text.substring(start).strip();
  }

  /** Looks for stop texts and labels that end behind {@code before}. */
  private void scan(int before) {
    int stop = -1;
    for (String candidate : stops) {
      int at = text.indexOf(candidate, Math.max(0, before - candidate.length() + 1));
      if (at >= 0 && (stop < 0 || at < stop)) {
        stop = at;
      }
    }
    if (stop >= 0) {
      stopped = true;
      text.setLength(stop);
    }
    int from = Math.max(start, before - label.length() + 1);
    for (int at = text.indexOf(label, from); at >= 0; at = text.indexOf(label, start)) {
      start = at + label.length();
      given = start;
      while (firstToken + 1 < begins.size() && begins.getInt(firstToken + 1) <= start) {
        firstToken++;
      }
      if (anyGiven) {
        anyGiven = false;
        listener.onRestart();
      }
    }
  }

  /** Length of the longest end of the text that an awaited text begins with. */
  private int heldBack() {
    if (stopped) {
      return 0;
    }
    int longest = 0;
    for (String candidate : awaited) {
      int limit = Math.min(candidate.length() - 1, text.length() - given);
      for (int length = limit; length > longest; length--) {
        if (endsWithPrefix(candidate, length)) {
          longest = length;
        }
      }
    }
    return longest;
  }

  private boolean endsWithPrefix(String candidate, int length) {
    int from = text.length() - length;
    for (int i = 0; i < length; i++) {
      if (text.charAt(from + i) != candidate.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  private void give(int limit) {
    while (!anyGiven && given < limit && Character.isWhitespace(text.charAt(given))) {
      given++;
    }
    int end = limit;
    while (end > given && Character.isWhitespace(text.charAt(end - 1))) {
      end--;
    }
    if (end > given) {
      String piece = text.substring(given, end);
      given = end;
      anyGiven = true;
      while (endToken < begins.size() && begins.getInt(endToken) < end) {
        endToken++;
      }
      listener.onText(piece, firstToken, endToken);
    }
  }
}
