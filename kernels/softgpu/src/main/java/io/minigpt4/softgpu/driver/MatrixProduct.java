package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.driver.CublasLtApi.Layout;
import io.minigpt4.softgpu.driver.CublasLtApi.Product;
import io.minigpt4.softgpu.run.Allocation;
import java.util.Arrays;

/**
 * D = epilogue(alpha op(A) op(B) + beta C), batch by batch, as cublasLtMatmul defines it. The
 * epilogue's bias has one value a row of D; its GELU is the tanh approximation, as cuBLAS's is.
 */
final class MatrixProduct {
  private static final int R_32F = 0;
  private static final int R_16F = 2;
  private static final int R_16BF = 14;
  private static final int RELU = 2;
  private static final int BIAS = 4;
  private static final int GELU = 32;

  private final Layout a;
  private final Layout b;
  private final Layout c;
  private final Layout d;
  private final boolean transposeA;
  private final boolean transposeB;
  private final int epilogue;
  private final long bias;
  private final int biasType;
  private final long biasStride;
  private final int rows;
  private final int columns;
  private final int depth;

  private MatrixProduct(Product p, Layout a, Layout b, Layout c, Layout d) {
    this.a = a;
    this.b = b;
    this.c = c;
    this.d = d;
    transposeA = transposed(p.get(3, 0));
    transposeB = transposed(p.get(4, 0));
    epilogue = (int) p.get(7, 1);
    bias = p.get(8, 0);
    biasType = (int) p.get(26, d.type());
    biasStride = p.get(10, 0);
    rows = (int) d.rows();
    columns = (int) d.columns();
    depth = (int) (transposeA ? a.rows() : a.columns());
  }

  private static boolean transposed(long op) {
    if (op < 0 || op > 1) {
      throw new Status(Status.NOT_SUPPORTED, "operation " + op);
    }
    return op == 1;
  }

  /**
   * Describes a product.
   *
   * @throws Status where types, shapes or epilogue do not fit together
   */
  static MatrixProduct of(Product p, Layout a, Layout b, Layout c, Layout d) {
    MatrixProduct m = new MatrixProduct(p, a, b, c, d);
    m.checkTypes();
    m.checkShapes();
    return m;
  }

  private void checkTypes() {
    boolean inputs =
        a.type() == b.type() && (a.type() == R_16F || a.type() == R_16BF || a.type() == R_32F);
    boolean outputs = c.type() == d.type() && (d.type() == a.type() || d.type() == R_32F);
    int known = RELU | BIAS | GELU;
    boolean ends =
        epilogue == 1
            || ((epilogue & ~known) == 0 && epilogue != 0 && (epilogue & 34) != (RELU | GELU));
    if (!inputs || !outputs || !ends) {
      throw new Status(
          Status.NOT_SUPPORTED,
          "types %d %d %d %d, epilogue %d"
              .formatted(a.type(), b.type(), c.type(), d.type(), epilogue));
    }
  }

  private void checkShapes() {
    long aRows = transposeA ? a.columns() : a.rows();
    long bRows = transposeB ? b.columns() : b.rows();
    long bColumns = transposeB ? b.rows() : b.columns();
    boolean fits =
        aRows == rows
            && bRows == depth
            && bColumns == columns
            && c.rows() == rows
            && c.columns() == columns;
    for (Layout l : new Layout[] {a, b, c, d}) {
      fits &= l.leading() >= (l.rowMajor() ? l.columns() : l.rows());
      fits &= l.batch() == d.batch() && l.rows() > 0 && l.columns() > 0;
    }
    if (!fits) {
      throw new Status(
          Status.INVALID_VALUE,
          "shapes do not fit: A %dx%d%s, B %dx%d%s, D %dx%d"
              .formatted(
                  a.rows(),
                  a.columns(),
                  transposeA ? " transposed" : "",
                  b.rows(),
                  b.columns(),
                  transposeB ? " transposed" : "",
                  d.rows(),
                  d.columns()));
    }
  }

  private static int bytes(int type) {
    return type == R_32F ? 4 : 2;
  }

  private static long extent(Layout l) {
    long lines = l.rowMajor() ? l.rows() : l.columns();
    long line = l.rowMajor() ? l.columns() : l.rows();
    long last = (l.batch() - 1) * l.stride() + (lines - 1) * l.leading() + line;
    return last * bytes(l.type());
  }

  /**
   * Checks that the matrices lie in allocations, aligned to their elements.
   *
   * @param cAddress 0 where beta is 0 and C is not read
   */
  void check(SoftGpu gpu, long aAddress, long bAddress, long cAddress, long dAddress) {
    inside(gpu, "A", aAddress, extent(a), bytes(a.type()));
    inside(gpu, "B", bAddress, extent(b), bytes(b.type()));
    inside(gpu, "D", dAddress, extent(d), bytes(d.type()));
    if (cAddress != 0) {
      inside(gpu, "C", cAddress, extent(c), bytes(c.type()));
    }
    if ((epilogue & BIAS) != 0) {
      long all = ((d.batch() - 1) * biasStride + rows) * bytes(biasType);
      inside(gpu, "bias", bias, all, bytes(biasType));
    }
  }

  private static Allocation inside(
      SoftGpu gpu, String name, long address, long size, int alignment) {
    return Values.inside(gpu, "cublasLtMatmul: " + name, address, size, alignment);
  }

  void run(SoftGpu gpu, float alpha, long aAt, long bAt, float beta, long cAt, long dAt) {
    float[] left = new float[rows * depth];
    float[] right = new float[depth * columns];
    float[] out = new float[rows * columns];
    for (long n = 0; n < d.batch(); n++) {
      read(gpu, "A", a, aAt + n * a.stride() * bytes(a.type()), transposeA, left);
      read(gpu, "B", b, bAt + n * b.stride() * bytes(b.type()), transposeB, right);
      Arrays.fill(out, 0f);
      multiply(left, right, out);
      finish(gpu, n, alpha, beta, cAt, dAt, out);
    }
  }

  /** out[i][j] += left[i][k] right[k][j]. */
  private void multiply(float[] left, float[] right, float[] out) {
    for (int i = 0; i < rows; i++) {
      for (int k = 0; k < depth; k++) {
        addRow(left[i * depth + k], right, k * columns, out, i * columns, columns);
      }
    }
  }

  private static void addRow(float x, float[] from, int f, float[] to, int t, int n) {
    for (int j = 0; j < n; j++) {
      to[t + j] = Math.fma(x, from[f + j], to[t + j]);
    }
  }

  /** op(matrix), row by row, as floats. */
  private static void read(
      SoftGpu gpu, String name, Layout l, long at, boolean transposed, float[] out) {
    int lines = (int) (l.rowMajor() ? l.rows() : l.columns());
    int line = (int) (l.rowMajor() ? l.columns() : l.rows());
    int size = bytes(l.type());
    boolean alongRows = l.rowMajor() != transposed;
    Allocation m = inside(gpu, name, at, 1, 1);
    for (int i = 0; i < lines; i++) {
      long from = at + i * l.leading() * size;
      String what = "cublasLtMatmul: %s, line %d,".formatted(name, i);
      Values.written(gpu, what, m, from, (long) line * size);
      for (int j = 0; j < line; j++) {
        float v = values(l.type()).get(from + (long) j * size);
        out[alongRows ? i * line + j : j * lines + i] = v;
      }
    }
  }

  private static Values values(int type) {
    return switch (type) {
      case R_16F -> Values.F16;
      case R_16BF -> Values.BF16;
      default -> Values.F32;
    };
  }

  private void finish(
      SoftGpu gpu, long n, float alpha, float beta, long cAt, long dAt, float[] out) {
    int size = bytes(d.type());
    Allocation target = inside(gpu, "D", dAt, 1, 1);
    for (int i = 0; i < rows; i++) {
      float add = 0;
      if ((epilogue & BIAS) != 0) {
        add = values(biasType).get(bias + (n * biasStride + i) * bytes(biasType));
      }
      for (int j = 0; j < columns; j++) {
        float v = alpha * out[i * columns + j];
        if (beta != 0) {
          v += beta * values(c.type()).get(cAt + element(c, n, i, j) * size);
        }
        long at = dAt + element(d, n, i, j) * size;
        values(d.type()).put(at, activated(v + add));
        target.markWritten(at, size);
      }
    }
  }

  private static long element(Layout l, long n, int row, int column) {
    long in = l.rowMajor() ? row * l.leading() + column : column * l.leading() + row;
    return n * l.stride() + in;
  }

  private float activated(float x) {
    if ((epilogue & RELU) != 0) {
      return Math.max(x, 0f);
    }
    if ((epilogue & GELU) != 0) {
      double inner = 0.7978845608028654 * (x + 0.044715 * (double) x * x * x);
      return (float) (0.5 * x * (1 + Math.tanh(inner)));
    }
    return x;
  }
}
