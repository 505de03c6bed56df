package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;

/**
 * out = x · wᵀ + bias for rows that come together. A row's result is the same to the last bit
 * whatever the number of rows; what {@link PerRowLinear} makes of it differs in the last bits.
 *
 * <p>The product of backward passes, out = x · w with w as it lies, goes this way for any number of
 * rows.
 */
abstract class Linear implements Team.Task, AutoCloseable {
  private static final int BLOCK_ROWS = 768;

  /** Rows of x from which on two threads may share a panel, which both then convert. */
  private static final int SHARED_ROWS = 128;

  final Team team;

  long x;
  long xStride;
  int m;
  int k;
  DType type = DType.F32;
  long w;
  final QuantisedRows quantised = new QuantisedRows();
  int n;

  /** Whether w is [k, n]. */
  boolean transposed;

  boolean accumulate;

  /** Address or 0. */
  long bias;

  boolean gelu;
  long out;
  long outStride;

  Linear(Team team) {
    this.team = team;
  }

  /**
   * By native code where there is some, else by the tiles of {@code kernels}.
   *
   * @param exact whether arithmetic must be float32 whatever the weights
   */
  static Linear create(Kernels kernels, Team team, boolean exact) {
    CpuLibrary library = kernels.library();
    return library == null
        ? new TiledLinear(kernels, team)
        : new NativeLinear(library, kernels, team, exact);
  }

  /** Sets the right operand: w [n, k] of any type, in as many dimensions, bias [n] or 0. */
  void weights(Tensor weights, int rows, int depth, long biasAddress) {
    operand(weights);
    n = rows;
    k = depth;
    bias = biasAddress;
    transposed = false;
    accumulate = false;
  }

  /**
   * Sets the right operand of out = x · w, or out += x · w.
   *
   * @param weights w [depth, columns], dense
   */
  void transposedWeights(Tensor weights, int depth, int columns, boolean add) {
    operand(weights);
    n = columns;
    k = depth;
    bias = 0;
    transposed = true;
    accumulate = add;
  }

  private void operand(Tensor weights) {
    type = weights.dtype();
    w = Checks.address(weights);
    if (type.isQuantised()) {
      quantised.set(weights);
    }
  }

  /** Multiplies rows of x. {@link #weights} first. */
  void run(long xAddress, long xRows, int rows, boolean withGelu, long outAddress, long outRows) {
    if (rows == 0 || n == 0) {
      return;
    }
    gelu = withGelu;
    xStride = xRows;
    outStride = outRows;
    int parts = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (int part = 0; part < parts; part++) {
      int first = (int) ((long) rows * part / parts);
      x = xAddress + 4L * first * xStride;
      m = (int) ((long) rows * (part + 1) / parts) - first;
      out = outAddress + 4L * first * outStride;
      multiply();
    }
  }

  /** The rows of x that are set times w; at least one of each. */
  abstract void multiply();

  /** Parts into which the rows are divided so that each of the team has enough to do. */
  final int rowParts(int panels) {
    return panels < 4 * team.size() && m >= SHARED_ROWS ? 2 : 1;
  }

  @Override
  public abstract void close();
}
