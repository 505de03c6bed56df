package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;

/**
 * out = x · wᵀ + bias for rows that come one a sequence, for one or several matrices w at a time.
 * Every weight is used a few times, so the weights' way from memory decides; {@link
 * DotKernels#dots} streams them once, shared out by rows of w. A row's result is the same to the
 * last bit whatever the number of rows.
 *
 * <p>Matrices of one type with the same input are one job: x is arranged once for all of them, and
 * the team meets once.
 */
final class PerRowLinear implements Team.Task, AutoCloseable {
  /** Weights in bytes that a thread takes at a time, at most and, if there are more, at least. */
  private static final int MOST_BYTES = 1 << 20;

  private static final int LEAST_BYTES = 1 << 16;

  /** Stretches for each thread, so that none waits long for the last. */
  private static final long STRETCHES = 16;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 15;

  private final Kernels kernels;
  private final Team team;
  private final Rows rows = new Rows();
  private final Buffer[] scratch;
  private Product[] products = {};
  private int count;

  private int m;
  private int k;
  private DType type = DType.F32;

  /** One more than the last of the products that are computed together now. */
  private int endOfJob;

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
    int parts = (rowCount + DotKernels.MOST_ROWS - 1) / DotKernels.MOST_ROWS;
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

  private void runPart(long x, long xStride) {
    int first = 0;
    while (first < count) {
      int end = first + 1;
      while (end < count && alike(products[first], products[end])) {
        end++;
      }
      arrange(products[first], x, xStride);
      share(first, end);
      first = end;
    }
  }

  /** Whether two matrices want x arranged the same way. */
  private static boolean alike(Product a, Product b) {
    return a.type == b.type
        && (!a.type.isQuantised() || a.quantised.group() == b.quantised.group());
  }

  private void arrange(Product like, long x, long xStride) {
    type = like.type;
    if (type.isQuantised()) {
      kernels.quantised().arrange(like.quantised, x, xStride, m, rows);
    } else {
      kernels.products().arrange(type, x, xStride, m, k, rows);
    }
  }

  /** Divides products {@code from} to {@code to} into items, and has them done. */
  private void share(int from, int to) {
    long all = 0;
    for (int i = from; i < to; i++) {
      all += products[i].n;
    }
    boolean serial = m * all * k < SERIAL_WORK;
    long fair = (all + STRETCHES * team.size() - 1) / (STRETCHES * team.size());
    int unit = type.isQuantised() ? QuantisedKernels.STREAMS : DotKernels.COLUMNS;
    int items = 0;
    for (int i = from; i < to; i++) {
      Product product = products[i];
      long rowBytes = Math.max(1, product.rowBytes());
      long least = Math.max(unit, LEAST_BYTES / rowBytes);
      long most = Math.max(least, MOST_BYTES / rowBytes);
      int rowsEach = serial ? Math.max(1, product.n) : (int) Math.clamp(fair, least, most);
      product.chunk = (rowsEach + unit - 1) / unit * unit;
      product.firstItem = items;
      items += (product.n + product.chunk - 1) / product.chunk;
    }
    endOfJob = to;
    if (serial) {
      for (int i = 0; i < items; i++) {
        run(i, 0);
      }
    } else {
      team.run(this, items);
    }
  }

  @Override
  public void run(int item, int worker) {
    int i = endOfJob - 1;
    while (products[i].firstItem > item) {
      i--;
    }
    Product product = products[i];
    int from = (item - product.firstItem) * product.chunk;
    int n = Math.min(product.n, from + product.chunk) - from;
    long out = product.out + 4L * from;
    float[] floats = scratch[worker].floats(kernels.products().scratch());
    if (type.isQuantised()) {
      kernels.quantised().dots(product.quantised, rows, m, from, n, out, product.outStride, floats);
    } else {
      long w = product.w + from * product.rowBytes();
      kernels.products().dots(type, rows, m, w, n, k, out, product.outStride, floats);
    }
    if (product.bias != 0) {
      for (int row = 0; row < m; row++) {
        kernels.add(out + 4 * (row * product.outStride), product.bias + 4L * from, n);
      }
    }
  }

  @Override
  public void close() {
    rows.close();
  }
}
