package io.minigpt4.generate;

import io.minigpt4.text.Prompt;
import java.util.ArrayList;
import java.util.List;

/**
 * Beginnings of recent prompts, computed once for all prompts that begin the same: the system text,
 * an image, earlier turns. Entries share the pages of keys and values that they have in common.
 *
 * <p>Not safe for use by several threads.
 */
public final class PrefixCache implements AutoCloseable {
  /** Least recently used first. None is the beginning of another. */
  private final List<Session> entries = new ArrayList<>();

  /** How many leading rows of a prompt are known. */
  public int known(Prompt prompt) {
    int most = 0;
    for (Session entry : entries) {
      most = Math.max(most, entry.common(prompt));
    }
    return most;
  }

  /**
   * A session that holds what is known of a prompt's beginning; the caller's to close.
   *
   * @param decoder that the entries were computed with
   */
  public Session begin(Decoder decoder, Prompt prompt) {
    Session best = null;
    int most = 0;
    for (Session entry : entries) {
      int common = entry.common(prompt);
      if (common > most) {
        most = common;
        best = entry;
      }
    }
    if (best == null) {
      return new Session(decoder);
    }
    entries.remove(best);
    entries.add(best);
    return best.fork(most);
  }

  /** Adds a beginning; the cache's to close from now on. */
  public void add(Session beginning) {
    for (int i = entries.size() - 1; i >= 0; i--) {
      if (beginning.beginsWith(entries.get(i))) {
        entries.remove(i).close();
      } else if (entries.get(i).beginsWith(beginning)) {
        beginning.close();
        return;
      }
    }
    entries.add(beginning);
  }

  /**
   * Forgets the entry that was not used for longest.
   *
   * @return false if there is none
   */
  public boolean forgetOldest() {
    if (entries.isEmpty()) {
      return false;
    }
    entries.removeFirst().close();
    return true;
  }

  /** Forgets all entries with one of the image rows from {@code first} to {@code end}. */
  public void forgetImageRows(int first, int end) {
    for (int i = entries.size() - 1; i >= 0; i--) {
      if (entries.get(i).hasImageRow(first, end)) {
        entries.remove(i).close();
      }
    }
  }

  /** Forgets everything. */
  @Override
  public void close() {
    entries.forEach(Session::close);
    entries.clear();
  }
}
