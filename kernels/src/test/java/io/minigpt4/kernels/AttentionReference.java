package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;

/** Attention of one row in double precision, and how far a kernel may be from it. */
final class AttentionReference {
  /** Error of float32 sums and powers, relative to the sum of absolute terms. */
  private static final double FLOAT32 = 2e-5;

  /** Half the smallest step of F16: what rounding a small probability may cost. */
  private static final double SMALLEST = 0x1p-25;

  private final Element element;
  private final boolean rounded;

  /**
   * @param rounded whether the kernel rounds probabilities to the type for the tensor cores
   */
  AttentionReference(Element element, boolean rounded) {
    this.element = element;
    this.rounded = rounded;
  }

  /** One head's numbers in one row of a matrix. */
  static final class Row {
    private final float[] values;
    private final int start;

    /**
     * @param start where in {@code values} they begin
     */
    Row(float[] values, int start) {
      this.values = values;
      this.start = start;
    }

    float get(int i) {
      return values[start + i];
    }
  }

  /**
   * Checks one head of one row of the result. Its error is at most that of rounding it, of rounding
   * each probability, Σ pⱼ |vⱼ| times half a step, and of float32 arithmetic.
   *
   * @param keys those that the row sees
   * @param values as many
   */
  void check(
      String where, Row actual, Row query, Row[] keys, Row[] values, int headDim, double scale) {
    double[] p = new double[keys.length];
    double top = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < p.length; j++) {
      for (int i = 0; i < headDim; i++) {
        p[j] += (double) query.get(i) * keys[j].get(i) * scale;
      }
      top = Math.max(top, p[j]);
    }
    double sum = 0;
    for (int j = 0; j < p.length; j++) {
      p[j] = Math.exp(p[j] - top);
      sum += p[j];
    }
    double step = Device.epsilon(element);
    for (int i = 0; i < headDim; i++) {
      double wanted = 0;
      double allowed = 0;
      for (int j = 0; j < p.length; j++) {
        double v = values[j].get(i);
        wanted += p[j] / sum * v;
        allowed +=
            (p[j] / sum * FLOAT32 + (rounded ? p[j] / sum * step + SMALLEST : 0)) * Math.abs(v);
      }
      allowed = (allowed + (Math.abs(wanted) + allowed) * step) * 1.01 + SMALLEST;
      assertThat((double) actual.get(i))
          .as("%s, column %d", where, i)
          .isBetween(wanted - allowed, wanted + allowed);
    }
  }
}
