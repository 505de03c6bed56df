package io.minigpt4.cpu;

/**
 * How rows are divided into panels (see {@link Kernels}): as few as the kernels' widest panel
 * allows, all about as wide, because a narrow remainder would waste a pass over the right operand.
 */
final class Panels {
  private int lanes;
  private int vectors;
  private int count;

  /** Divides {@code rows} rows, at least 1. */
  void divide(int rows, int lanes, int maxVectors) {
    this.lanes = lanes;
    vectors = (rows + lanes - 1) / lanes;
    count = (vectors + maxVectors - 1) / maxVectors;
  }

  /** Number of panels. */
  int count() {
    return count;
  }

  /** First vector of panel {@code p}; of {@link #count}, the number of vectors in all. */
  int firstVector(int p) {
    return (int) ((long) vectors * p / count);
  }

  /** Vectors in panel {@code p}. */
  int vectors(int p) {
    return firstVector(p + 1) - firstVector(p);
  }

  /** First row of panel {@code p}. */
  int firstRow(int p) {
    return firstVector(p) * lanes;
  }
}
