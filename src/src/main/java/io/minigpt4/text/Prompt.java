package io.minigpt4.text;

import it.unimi.dsi.fastutil.ints.IntList;
import java.util.Arrays;

/**
 * What a language model is given, one entry a row: a token id, or {@code ~r} (negative) for row r
 * of the conversation's image rows, where image i has the rows i · rowsPerImage and following. As
 * an image keeps its rows' numbers over all turns, two prompts of one conversation begin with the
 * same rows exactly as far as their entries are the same.
 */
public final class Prompt {
  private final int[] ids;

  /**
   * @param ids the entries; copied
   */
  public Prompt(int... ids) {
    this.ids = ids.clone();
  }

  /** A copy of the entries. */
  public int[] ids() {
    return ids.clone();
  }

  /** Number of rows. */
  public int length() {
    return ids.length;
  }

  /** Whether it holds image rows. */
  public boolean hasImages() {
    for (int id : ids) {
      if (id < 0) {
        return true;
      }
    }
    return false;
  }

  /** How many leading rows are those of another sequence, such as what a KV cache holds. */
  public int commonPrefix(IntList other) {
    int limit = Math.min(ids.length, other.size());
    int i = 0;
    while (i < limit && ids[i] == other.getInt(i)) {
      i++;
    }
    return i;
  }

  /**
   * The last {@code count} rows, or this prompt if it is no longer: what is left when older context
   * is cut off to make room.
   *
   * @param count at least 1
   */
  public Prompt last(int count) {
    if (count < 1) {
      throw new IllegalArgumentException("a prompt cannot be cut to " + count + " rows");
    }
    return count >= ids.length
        ? this
        : new Prompt(Arrays.copyOfRange(ids, ids.length - count, ids.length));
  }
}
