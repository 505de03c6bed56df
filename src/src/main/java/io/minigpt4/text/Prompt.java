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
  private final int newest;

  /**
   * @param ids the entries; copied
   * @param newest how many of the last rows are the newest message
   */
  public Prompt(int[] ids, int newest) {
    this.ids = ids.clone();
    this.newest = newest;
  }

  /** A prompt that is all one message. */
  public static Prompt of(int... ids) {
    return new Prompt(ids, ids.length);
  }

  /** A copy of the entries. */
  public int[] ids() {
    return ids.clone();
  }

  /** Number of rows. */
  public int length() {
    return ids.length;
  }

  /**
   * Rows of the newest message, its role and the open answer included: what must be left for the
   * prompt to make sense, whatever older context is cut off.
   */
  public int newest() {
    return newest;
  }

  /** How many leading rows are those of another prompt. */
  public int commonPrefix(Prompt other) {
    int differs = Arrays.mismatch(ids, other.ids);
    return differs < 0 ? ids.length : differs;
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
        : new Prompt(
            Arrays.copyOfRange(ids, ids.length - count, ids.length), Math.min(newest, count));
  }
}
