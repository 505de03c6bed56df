package io.minigpt4.generate;

import io.minigpt4.tensor.KvCache;
import io.minigpt4.text.Prompt;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import it.unimi.dsi.fastutil.ints.IntList;

/**
 * What a decoder has computed for one conversation, kept so that the next prompt is computed only
 * from where it differs. The ids of image rows must mean the same rows from prompt to prompt.
 *
 * <p>Not safe for use by several threads.
 */
public final class Session implements AutoCloseable {
  private KvCache cache;
  private final IntArrayList ids;

  /**
   * @param decoder that all generations of this session will use
   */
  public Session(Decoder decoder) {
    this(decoder.newCache(), new IntArrayList());
  }

  private Session(KvCache cache, IntArrayList ids) {
    this.cache = cache;
    this.ids = ids;
  }

  /**
   * Another session that has computed this one's first rows.
   *
   * @param rows how many; at most {@link #length}
   */
  public Session fork(int rows) {
    return new Session(cache.fork(rows), new IntArrayList(ids.subList(0, rows)));
  }

  /** Pages of keys and values that it holds, those that it shares included. */
  public int pages() {
    return cache.pages();
  }

  /** How many of its first rows are those of a prompt. */
  int common(Prompt prompt) {
    return prompt.commonPrefix(ids);
  }

  /** Whether it holds all rows of another session, and those first. */
  boolean beginsWith(Session other) {
    int rows = other.length();
    return rows <= length() && ids.subList(0, rows).equals(other.ids);
  }

  /** Whether one of its rows is an image row from {@code first} to {@code end}. */
  boolean hasImageRow(int first, int end) {
    for (int i = 0; i < ids.size(); i++) {
      int row = ~ids.getInt(i);
      if (row >= first && row < end) {
        return true;
      }
    }
    return false;
  }

  /** Rows that are computed. */
  public int length() {
    return ids.size();
  }

  KvCache cache() {
    return cache;
  }

  /**
   * Forgets what is not the beginning of {@code prompt}. Of the prompt at least two rows are left
   * to compute, if it has as many: one for its scores, which are not kept, and two so that they are
   * computed as rows of a prompt are and not as a step is, which may differ in the last bits.
   *
   * @return how many rows are left
   */
  int reuse(Prompt prompt) {
    int common = Math.min(prompt.commonPrefix(ids), Math.max(0, prompt.length() - 2));
    cache.truncate(common);
    ids.size(common);
    return common;
  }

  /** Notes rows that the decoder has stored in the cache. */
  void computed(int[] rows, int from, int count) {
    ids.addElements(ids.size(), rows, from, count);
  }

  /**
   * Goes on with another cache, which holds more.
   *
   * @param longer holds this session's rows and those of {@code more}; from now on the session's
   */
  void replace(KvCache longer, IntList more) {
    cache.close();
    cache = longer;
    ids.addAll(more);
  }

  /** Gives the cache's memory back. */
  @Override
  public void close() {
    cache.close();
    ids.clear();
  }
}
