package io.minigpt4.train;

/**
 * What the language model is given of one sample, and what it should say. Immutable: the arrays are
 * not to be changed.
 */
public final class Example {
  private final int[] ids;
  private final int[] targets;

  /**
   * @param ids one entry a row: a token, or {@code ~i} for row i of the sample's image; kept
   * @param targets the token that each row should predict, −1 where that does not matter; kept
   * @throws IllegalArgumentException if the lengths differ
   */
  public Example(int[] ids, int[] targets) {
    if (ids.length != targets.length) {
      throw new IllegalArgumentException(ids.length + " ids, " + targets.length + " targets");
    }
    this.ids = ids;
    this.targets = targets;
  }

  /** The rows; not a copy. */
  public int[] ids() {
    return ids;
  }

  /** The targets; not a copy. */
  public int[] targets() {
    return targets;
  }

  /** Number of rows that predict a token. */
  public int targetCount() {
    int count = 0;
    for (int target : targets) {
      count += target >= 0 ? 1 : 0;
    }
    return count;
  }

  /** Number of rows. */
  public int length() {
    return ids.length;
  }
}
