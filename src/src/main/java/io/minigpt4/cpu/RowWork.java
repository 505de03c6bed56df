package io.minigpt4.cpu;

/** Row-wise and element-wise operations, shared out by rows. */
final class RowWork implements Team.Task {
  /**
   * What is done to each row. Each operation is a method of its own, so that C2 puts two of them
   * into the loop at most: with all of them it stopped inlining in the middle of one, now and then
   * ({@link VectorMath} says what follows).
   */
  enum Kind {
    LAYER_NORM {
      @Override
      void row(RowWork work, long x, long y, long out) {
        work.addFirst(x, y);
        work.kernels.layerNorm(x, work.weight, work.bias, work.eps, out, work.width);
      }
    },
    RMS_NORM {
      @Override
      void row(RowWork work, long x, long y, long out) {
        work.addFirst(x, y);
        work.kernels.rmsNorm(x, work.weight, work.eps, out, work.width);
      }
    },
    ADD {
      @Override
      void row(RowWork work, long x, long y, long out) {
        work.kernels.add(x, y, work.width);
      }
    },
    SILU_MUL {
      @Override
      void row(RowWork work, long x, long y, long out) {
        work.kernels.siluMul(x, y, out, work.width);
      }
    };

    abstract void row(RowWork work, long x, long y, long out);
  }

  /** Elements below which waking other threads costs more than it brings. */
  private static final long SERIAL_ELEMENTS = 1 << 12;

  private final Kernels kernels;
  private final Team team;

  private Kind kind = Kind.ADD;
  private long x;
  private long xStride;
  private long y;
  private long yStride;
  private long out;
  private long outStride;
  private int rows;
  private int width;
  private long weight;
  private long bias;
  private float eps;
  private int rowsPerItem;

  RowWork(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
  }

  /**
   * Sets the operands: x [rows, width] and a second one, y. Norms add y to x first, unless it is 0.
   */
  void operands(long xAddress, long xRows, long yAddress, long yRows, int rowCount, int rowWidth) {
    x = xAddress;
    xStride = xRows;
    y = yAddress;
    yStride = yRows;
    rows = rowCount;
    width = rowWidth;
  }

  /** Sets where the result goes; {@link Kind#ADD} works in place. */
  void result(long address, long stride) {
    out = address;
    outStride = stride;
  }

  /** Normalises; a bias of 0 means RMSNorm. */
  void norm(long weightAddress, long biasAddress, float epsilon) {
    weight = weightAddress;
    bias = biasAddress;
    eps = epsilon;
    run(biasAddress == 0 ? Kind.RMS_NORM : Kind.LAYER_NORM);
  }

  /** Does it. */
  void run(Kind what) {
    kind = what;
    if ((long) rows * width < SERIAL_ELEMENTS) {
      rowsPerItem = rows;
      run(0, 0);
    } else {
      rowsPerItem = Math.max(1, (rows + 4 * team.size() - 1) / (4 * team.size()));
      team.run(this, (rows + rowsPerItem - 1) / rowsPerItem);
    }
  }

  @Override
  public void run(int item, int worker) {
    int end = Math.min(rows, (item + 1) * rowsPerItem);
    for (int row = item * rowsPerItem; row < end; row++) {
      kind.row(this, x + 4L * row * xStride, y + 4L * row * yStride, out + 4L * row * outStride);
    }
  }

  /**
   * x += y, unless y is 0; what {@code y} is then stands in the operands, not in a row's address.
   */
  private void addFirst(long xRow, long yRow) {
    if (y != 0) {
      kernels.add(xRow, yRow, width);
    }
  }
}
