package io.minigpt4.cpu;

/** Row-wise and element-wise operations of training, shared out by rows or stretches. */
final class GradRows implements Team.Task {
  private enum Kind {
    RMS_NORM,
    SILU_MUL,
    ADAM_W
  }

  /** Elements below which waking other threads costs more than it brings. */
  private static final long SERIAL_ELEMENTS = 1 << 15;

  /** Elements of a weight that are one item of the optimizer's step. */
  private static final int STRETCH = 1 << 14;

  /**
   * A matrix.
   *
   * @param at address
   * @param stride elements from row to row
   */
  record Rows(long at, long stride) {
    long row(int i) {
      return at + 4L * i * stride;
    }
  }

  private static final Rows NONE = new Rows(0, 0);

  private final GradKernels kernels;
  private final Team team;
  private Kind kind = Kind.RMS_NORM;
  private Rows a = NONE;
  private Rows b = NONE;
  private Rows dOut = NONE;
  private Rows da = NONE;
  private Rows db = NONE;
  private int width;
  private int rows;
  private int rowsPerItem;
  private long weight;
  private float eps;
  private boolean add;

  private long gradient;
  private long mean;
  private long square;
  private long elements;
  private GradKernels.AdamWFactors factors = new GradKernels.AdamWFactors(0, 0, 0, 0, 0, 0, 0);

  GradRows(Kernels kernels, Team team) {
    this.kernels = kernels.gradients();
    this.team = team;
  }

  void rmsNorm(
      Rows x, long weightAt, float epsilon, Rows slope, Rows dx, boolean adding, int m, int n) {
    a = x;
    weight = weightAt;
    eps = epsilon;
    dOut = slope;
    da = dx;
    add = adding;
    runRows(Kind.RMS_NORM, m, n);
  }

  void siluMul(Rows gate, Rows up, Rows slope, Rows dGate, Rows dUp, int m, int n) {
    a = gate;
    b = up;
    dOut = slope;
    da = dGate;
    db = dUp;
    runRows(Kind.SILU_MUL, m, n);
  }

  void adamW(long w, long g, long m, long v, GradKernels.AdamWFactors numbers, long count) {
    kind = Kind.ADAM_W;
    weight = w;
    gradient = g;
    mean = m;
    square = v;
    factors = numbers;
    elements = count;
    team.run(this, Math.toIntExact((count + STRETCH - 1) / STRETCH));
  }

  private void runRows(Kind what, int m, int n) {
    kind = what;
    rows = m;
    width = n;
    if ((long) m * n < SERIAL_ELEMENTS) {
      rowsPerItem = m;
      run(0, 0);
    } else {
      rowsPerItem = Math.max(1, (m + 4 * team.size() - 1) / (4 * team.size()));
      team.run(this, (m + rowsPerItem - 1) / rowsPerItem);
    }
  }

  @Override
  public void run(int item, int worker) {
    if (kind == Kind.ADAM_W) {
      long first = (long) item * STRETCH;
      int n = (int) Math.min(STRETCH, elements - first);
      long at = 4 * first;
      kernels.adamW(weight + at, gradient + at, mean + at, square + at, factors, n);
      return;
    }
    int end = Math.min(rows, (item + 1) * rowsPerItem);
    for (int i = item * rowsPerItem; i < end; i++) {
      if (kind == Kind.RMS_NORM) {
        kernels.rmsNorm(a.row(i), weight, eps, dOut.row(i), da.row(i), add, width);
      } else {
        kernels.siluMul(a.row(i), b.row(i), dOut.row(i), da.row(i), db.row(i), width);
      }
    }
  }
}
