package io.minigpt4.cpu;

/**
 * How rows are divided into panels (see {@link Kernels}): as many as possible of the full width,
 * for which the tile kernel is best, and a narrower one for what is left.
 */
final class Panels {
  private int lanes;
  private int maxVectors;
  private int vectors;

  /** Divides {@code rows} rows, at least 1. */
  void divide(int rows, int lanes, int maxVectors) {
    this.lanes = lanes;
    this.maxVectors = maxVectors;
    vectors = (rows + lanes - 1) / lanes;
  }

  /** Number of panels. */
  int count() {
    return (vectors + maxVectors - 1) / maxVectors;
  }

  /** First vector of panel {@code p}; of {@link #count}, the number of vectors in all. */
  int firstVector(int p) {
    return Math.min(vectors, p * maxVectors);
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
