package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;

/**
 * out = x · wᵀ + bias for rows that come one a sequence, for one or several matrices w at a time.
 * Every weight is used a few times, so the weights' way from memory decides; {@link Kernels#dots}
 * streams them once, shared out by rows of w. A row's result is the same to the last bit whatever
 * the number of rows.
 *
 * <p>Matrices of one type with the same input are one job: x is arranged once for all of them, and
 * the team meets once.
 */
final class PerRowLinear implements Team.Task {
  /** Weights in bytes that a thread takes at a time. */
  private static final int STREAM_BYTES = 1 << 17;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 15;

  private final Kernels kernels;
  private final Team team;
  private final Buffer arranged = new Buffer(Buffer.LARGE);
  private final Buffer[] scratch;
  private Product[] products = {};
  private int count;

  private int m;
  private int k;
  private DType type = DType.F32;

  /** Rows of x as {@link Kernels#dots} wants them. */
  private float[] rows = {};

  /** One of the matrices, and where its product goes. */
  private static final class Product {
    final QuantisedRows quantised = new QuantisedRows();
    DType type = DType.F32;
    long w;
    int n;
    int k;
    long bias;
    long out;
    long outStride;

    /** Rows of w in an item, and the product's first item. */
    int chunk;

    int firstItem;

    long rowBytes() {
      return type.isQuantised() ? quantised.rowBytes() : (long) k * type.bytes();
    }

    boolean arrangedAs(Product other) {
      return type == other.type
          && (!type.isQuantised() || quantised.rowBytes() == other.quantised.rowBytes());
    }
  }

  PerRowLinear(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.scratch = Buffer.array(team.size(), 0);
  }

  /** Begins anew, without matrices. */
  void clear() {
    count = 0;
  }

  /** Adds a product with w [n, k], of any type; bias [n] floats or 0. */
  void add(Tensor weight, long bias, long outAddress, long outRows) {
    if (count == products.length) {
      Product[] more = new Product[count + 1];
      System.arraycopy(products, 0, more, 0, count);
      more[count] = new Product();
      products = more;
    }
    Product product = products[count++];
    product.type = weight.dtype();
    product.w = Checks.address(weight);
    product.n = Math.toIntExact(weight.rows());
    product.k = Math.toIntExact(weight.width());
    product.bias = bias;
    product.out = outAddress;
    product.outStride = outRows;
    if (weight.dtype().isQuantised()) {
      product.quantised.set(weight);
    }
  }

  /** Multiplies rows x [rowCount, k] by all matrices, which have the same k. */
  void run(long x, long xStride, int rowCount) {
    if (rowCount == 0 || count == 0) {
      return;
    }
    int parts = (rowCount + Kernels.DOT_ROWS - 1) / Kernels.DOT_ROWS;
    k = products[0].k;
    for (int part = 0; part < parts; part++) {
      int first = (int) ((long) rowCount * part / parts);
      m = (int) ((long) rowCount * (part + 1) / parts) - first;
      runPart(x + 4L * first * xStride, xStride);
      for (int i = 0; i < count; i++) {
        products[i].out += 4L * m * products[i].outStride;
      }
    }
  }
}
