package io.minigpt4.generate;

import io.minigpt4.tensor.Batch;
import it.unimi.dsi.fastutil.ints.IntArrayList;

/**
 * An answer that grows by a pass of the model at a time: takes the scores of its last rows, says
 * which rows the model shall compute next. Whoever calls it is free to compute other sequences'
 * rows in the same pass.
 */
interface Continuation extends AutoCloseable {
  /**
   * Takes what a pass brings of each of its rows: first of those behind the prompt, one row, then
   * of what {@link #addTo} added.
   *
   * @param firstRow its first row in the results; its others follow
   * @return whether the answer goes on
   */
  boolean accept(PassResults results, int firstRow);

  /** Sequences that {@link #addTo} would add, one row each. */
  int rows();

  /** Adds the rows that must be computed next, and puts their ids behind those of the batch. */
  void addTo(Batch batch, int[] ids);

  /** The new tokens, once the answer goes on no more. */
  IntArrayList ids();

  /** Why it goes on no more. */
  FinishReason reason();

  /** Frees what an unfinished answer holds. */
  @Override
  void close();
}
