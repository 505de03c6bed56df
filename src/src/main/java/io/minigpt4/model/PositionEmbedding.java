package io.minigpt4.model;

/** Fits a ViT's learned positions to another image size. */
final class PositionEmbedding {
  /** Sharpness of the cubic kernel (Keys 1981), as PyTorch's {@code interpolate} has it. */
  private static final double A = -0.75;

  private PositionEmbedding() {}

  /**
   * Resizes the grid bicubically without antialiasing, sampling at pixel centres and repeating the
   * border (PyTorch: {@code mode="bicubic", align_corners=False}); the row of the class token
   * stays.
   *
   * @param table [1 + from², width]
   * @param from old grid: patches along a side
   * @param to new grid
   * @return [1 + to², width]
   */
  static float[] resize(float[] table, int from, int to, int width) {
    float[] out = new float[(1 + to * to) * width];
    System.arraycopy(table, 0, out, 0, width);
    double[][] weights = new double[to][];
    int[] starts = new int[to];
    for (int i = 0; i < to; i++) {
      double centre = (i + 0.5) * from / to - 0.5;
      int floor = (int) Math.floor(centre);
      starts[i] = floor - 1;
      weights[i] = cubic(centre - floor);
    }
    for (int y = 0; y < to; y++) {
      for (int x = 0; x < to; x++) {
        int target = (1 + y * to + x) * width;
        for (int c = 0; c < width; c++) {
          double sum = 0;
          for (int j = 0; j < 4; j++) {
            int row = Math.clamp(starts[y] + j, 0, from - 1);
            double line = 0;
            for (int k = 0; k < 4; k++) {
              int column = Math.clamp(starts[x] + k, 0, from - 1);
              line += weights[x][k] * table[(1 + row * from + column) * width + c];
            }
            sum += weights[y][j] * line;
          }
          out[target + c] = (float) sum;
        }
      }
    }
    return out;
  }

  /** Weights of the four neighbours at distances 1 + t, t, 1 − t, 2 − t. */
  private static double[] cubic(double t) {
    return new double[] {far(1 + t), near(t), near(1 - t), far(2 - t)};
  }

  private static double near(double d) {
    return ((A + 2) * d - (A + 3)) * d * d + 1;
  }

  private static double far(double d) {
    return ((A * d - 5 * A) * d + 8 * A) * d - 4 * A;
  }
}
