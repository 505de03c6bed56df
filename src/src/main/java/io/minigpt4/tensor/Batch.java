package io.minigpt4.tensor;

import java.util.Arrays;

/**
 * Which rows of one LLaMA forward pass belong to which sequence: entry {@code i} covers {@code
 * rows(i)} consecutive rows, the tokens that follow what {@code cache(i)} already holds. A prefill
 * is one entry with many rows; a decode step of {@code n} sequences (beams, served chats) is {@code
 * n} entries of one row; both mix freely.
 *
 * <p>Mutable and meant to be reused, so that a decode step allocates nothing: {@link #clear},
 * {@link #add}, forward, {@link #commit}.
 */
public final class Batch {
  private final KvCache[] caches;
  private final int[] rows;
  private final int[] starts;
  private int size;
  private int totalRows;

  /**
   * @param capacity the most sequences that one pass may have
   */
  public Batch(int capacity) {
    caches = new KvCache[capacity];
    rows = new int[capacity];
    starts = new int[capacity];
  }

  /** Empties the batch. */
  public void clear() {
    Arrays.fill(caches, 0, size, null);
    size = 0;
    totalRows = 0;
  }

  /**
   * Appends {@code count} rows of the sequence in {@code cache} and reserves their places in it.
   */
  public void add(KvCache cache, int count) {
    cache.reserve(cache.length() + count);
    caches[size] = cache;
    rows[size] = count;
    starts[size] = totalRows;
    totalRows += count;
    size++;
  }

  /** Marks the rows as stored in their caches; call once after the last layer. */
  public void commit() {
    for (int i = 0; i < size; i++) {
      caches[i].advance(rows[i]);
    }
  }

  /** Number of sequences. */
  public int size() {
    return size;
  }

  /** Rows of all sequences together. */
  public int totalRows() {
    return totalRows;
  }

  public KvCache cache(int i) {
    return caches[i];
  }

  /** Rows of sequence {@code i} in this pass. */
  public int rows(int i) {
    return rows[i];
  }

  /** First row of sequence {@code i} in this pass. */
  public int start(int i) {
    return starts[i];
  }

  /**
   * Position in the sequence of sequence {@code i}'s first row, i.e. tokens already cached before
   * this pass.
   */
  public int past(int i) {
    return caches[i].length();
  }
}
