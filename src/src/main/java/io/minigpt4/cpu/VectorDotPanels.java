package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link DotKernels#dots} for so many rows of x that they fill the lanes of a vector: lane i
 * belongs to row i, an element of the weights is broadcast to all of them, and so no sum goes over
 * lanes.
 *
 * <p>Every sum is formed as {@link VectorDots} forms it for one row, so that a row's result is the
 * same to the last bit whatever the number of rows ({@code PerRowTest}). Lane p of the vectors
 * there is accumulator p here: sixteen of them for each row of weights. They are summed up a
 * quarter at a time, p, p + 4, p + 8 and p + 12, which {@link VectorSums} adds first; four rows of
 * weights share what is loaded of x.
 */
final class VectorDotPanels {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** Vectors this takes: registers hold sixteen sums of fewer lanes only by way of memory. */
  private static final int LANES = 16;

  /** Rows of x from which on empty lanes cost less than sums over lanes. */
  private static final int LEAST_ROWS = 6;

  /** Accumulators of a quarter, and quarters. */
  private static final int QUARTER = 4;

  /** Rows of weights at a time. */
  private static final int ROWS = 4;

  /** Elements of each of them that are converted at a time. */
  private static final int CHUNK = 1024;

  private static final int MOST_PANELS = (DotKernels.MOST_ROWS + LANES - 1) / LANES;

  /** Of each panel: either a quarter's sums [ROWS][QUARTER][N], or their sum [ROWS][N]. */
  private static final int SUMS = ROWS * CHUNK;

  private static final int SUMS_OF_PANEL = QUARTER * ROWS * QUARTER * LANES;

  /** Of each panel: results of sixteen rows of weights, [LANES][N]. */
  private static final int RESULTS = SUMS + MOST_PANELS * SUMS_OF_PANEL;

  private static final int SCRATCH = RESULTS + MOST_PANELS * LANES * LANES;
  private static final int[] COLUMN = new int[N];

  static {
    for (int i = 0; i < N; i++) {
      COLUMN[i] = i * N;
    }
  }

  private VectorDotPanels() {}

  /** Whether so many rows are laid along the lanes. */
  static boolean takes(int m) {
    return N == LANES && m >= LEAST_ROWS;
  }

  /** Floats of scratch that {@link #dots} needs. */
  static int scratch() {
    return SCRATCH;
  }

  private static int panels(int m) {
    return (m + N - 1) / N;
  }

  /** Floats that {@link #arrange} fills. */
  static long arranged(int m, int k) {
    return (long) panels(m) * N * k;
  }

  /** Where element {@code c} of a row stands: of half-width weights even ones come first. */
  private static int place(DType type, int c, int bound) {
    if (type == DType.F32 || c >= bound) {
      return c;
    }
    int within = c % (2 * N);
    return c - within + (within & 1) * N + within / 2;
  }

  /** Panels [k][N] of N rows each; the last is filled up with zeros. */
  static void arrange(DType type, long x, long xStride, int m, int k, float[] to) {
    int bound = VectorDotTiles.vectorized(type, k);
    float[] square = new float[N * N];
    for (int panel = 0; panel < panels(m); panel++) {
      int rows = Math.min(N, m - panel * N);
      long first = x + 4L * panel * N * xStride;
      int at = panel * N * k;
      Arrays.fill(square, 0);
      int c = 0;
      for (; c + N <= k; c += N) {
        loadSquare(first + 4L * c, xStride, rows, square);
        for (int i = 0; i < N; i++) {
          FloatVector.fromArray(SPECIES, square, i, COLUMN, 0)
              .intoArray(to, at + place(type, c + i, bound) * N);
        }
      }
      Arrays.fill(to, at + c * N, at + k * N, 0);
      for (; c < k; c++) {
        for (int r = 0; r < rows; r++) {
          to[at + place(type, c, bound) * N + r] = Memory.getFloat(first + 4 * (r * xStride + c));
        }
      }
    }
  }

  private static void loadSquare(long from, long stride, int rows, float[] square) {
    for (int r = 0; r < rows; r++) {
      FloatVector.fromMemorySegment(SPECIES, Memory.ALL, from + 4L * r * stride, ORDER)
          .intoArray(square, r * N);
    }
  }

  static void dots(
      DType type,
      float[] x,
      int m,
      long w,
      long rowBytes,
      int n,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    int bound = VectorDotTiles.vectorized(type, k);
    int panels = panels(m);
    for (int j = 0; j < n; j += ROWS) {
      int rows = Math.min(ROWS, n - j);
      long first = w + j * rowBytes;
      for (int from = 0; from < bound; from += CHUNK) {
        int length = Math.min(CHUNK, bound - from);
        VectorDotTiles.convert(type, first, rowBytes, rows, from, length, scratch, CHUNK);
        for (int panel = 0; panel < panels; panel++) {
          int xAt = (panel * k + from) * N;
          boolean last = from + length == bound;
          meet(x, xAt, scratch, panel, length / N, from > 0, last);
        }
      }
      for (int panel = 0; panel < panels; panel++) {
        finish(type, x, panel * k * N, panel, first, rowBytes, bound, k, j % N, rows, scratch);
      }
      if ((j + ROWS) % N == 0 || j + ROWS >= n) {
        int begin = j / N * N;
        store(scratch, m, j + rows - begin, out + 4L * begin, outStride);
      }
    }
  }

  /** A panel meets four rows of weights. */
  private static void meet(
      float[] x, int xAt, float[] scratch, int panel, int groups, boolean add, boolean last) {
    for (int q = 0; q < QUARTER; q++) {
      int sums = SUMS + panel * SUMS_OF_PANEL + q * ROWS * QUARTER * N;
      quarter(x, xAt + q * N, scratch, q, groups, sums, add, last);
    }
  }

  /**
   * A quarter of the accumulators of four rows of weights.
   *
   * @param x from {@code xAt} on [groups][N][N], the quarter's first element
   * @param w [ROWS][CHUNK], the quarter's first element at {@code wAt}; and the sums
   * @param add whether to go on with the sums of the elements before
   * @param last whether to leave a row's sum instead of its four sums
   */
  private static void quarter(
      float[] x, int xAt, float[] w, int wAt, int groups, int sums, boolean add, boolean last) {
    int n = SPECIES.length();
    FloatVector a0, a1, a2, a3;
    FloatVector b0, b1, b2, b3;
    FloatVector c0, c1, c2, c3;
    FloatVector d0, d1, d2, d3;
    if (add) {
      a0 = FloatVector.fromArray(SPECIES, w, sums);
      a1 = FloatVector.fromArray(SPECIES, w, sums + n);
      a2 = FloatVector.fromArray(SPECIES, w, sums + 2 * n);
      a3 = FloatVector.fromArray(SPECIES, w, sums + 3 * n);
      b0 = FloatVector.fromArray(SPECIES, w, sums + 4 * n);
      b1 = FloatVector.fromArray(SPECIES, w, sums + 5 * n);
      b2 = FloatVector.fromArray(SPECIES, w, sums + 6 * n);
      b3 = FloatVector.fromArray(SPECIES, w, sums + 7 * n);
      c0 = FloatVector.fromArray(SPECIES, w, sums + 8 * n);
      c1 = FloatVector.fromArray(SPECIES, w, sums + 9 * n);
      c2 = FloatVector.fromArray(SPECIES, w, sums + 10 * n);
      c3 = FloatVector.fromArray(SPECIES, w, sums + 11 * n);
      d0 = FloatVector.fromArray(SPECIES, w, sums + 12 * n);
      d1 = FloatVector.fromArray(SPECIES, w, sums + 13 * n);
      d2 = FloatVector.fromArray(SPECIES, w, sums + 14 * n);
      d3 = FloatVector.fromArray(SPECIES, w, sums + 15 * n);
    } else {
      FloatVector zero = FloatVector.zero(SPECIES);
      a0 = zero;
      a1 = zero;
      a2 = zero;
      a3 = zero;
      b0 = zero;
      b1 = zero;
      b2 = zero;
      b3 = zero;
      c0 = zero;
      c1 = zero;
      c2 = zero;
      c3 = zero;
      d0 = zero;
      d1 = zero;
      d2 = zero;
      d3 = zero;
    }
    for (int i = 0; i < groups; i++) {
      int at = xAt + i * n * n;
      FloatVector x0 = FloatVector.fromArray(SPECIES, x, at);
      FloatVector x1 = FloatVector.fromArray(SPECIES, x, at + QUARTER * n);
      FloatVector x2 = FloatVector.fromArray(SPECIES, x, at + 2 * QUARTER * n);
      FloatVector x3 = FloatVector.fromArray(SPECIES, x, at + 3 * QUARTER * n);
      int e = wAt + i * n;
      a0 = FloatVector.broadcast(SPECIES, w[e]).fma(x0, a0);
      a1 = FloatVector.broadcast(SPECIES, w[e + QUARTER]).fma(x1, a1);
      a2 = FloatVector.broadcast(SPECIES, w[e + 2 * QUARTER]).fma(x2, a2);
      a3 = FloatVector.broadcast(SPECIES, w[e + 3 * QUARTER]).fma(x3, a3);
      b0 = FloatVector.broadcast(SPECIES, w[e + CHUNK]).fma(x0, b0);
      b1 = FloatVector.broadcast(SPECIES, w[e + CHUNK + QUARTER]).fma(x1, b1);
      b2 = FloatVector.broadcast(SPECIES, w[e + CHUNK + 2 * QUARTER]).fma(x2, b2);
      b3 = FloatVector.broadcast(SPECIES, w[e + CHUNK + 3 * QUARTER]).fma(x3, b3);
      c0 = FloatVector.broadcast(SPECIES, w[e + 2 * CHUNK]).fma(x0, c0);
      c1 = FloatVector.broadcast(SPECIES, w[e + 2 * CHUNK + QUARTER]).fma(x1, c1);
      c2 = FloatVector.broadcast(SPECIES, w[e + 2 * CHUNK + 2 * QUARTER]).fma(x2, c2);
      c3 = FloatVector.broadcast(SPECIES, w[e + 2 * CHUNK + 3 * QUARTER]).fma(x3, c3);
      d0 = FloatVector.broadcast(SPECIES, w[e + 3 * CHUNK]).fma(x0, d0);
      d1 = FloatVector.broadcast(SPECIES, w[e + 3 * CHUNK + QUARTER]).fma(x1, d1);
      d2 = FloatVector.broadcast(SPECIES, w[e + 3 * CHUNK + 2 * QUARTER]).fma(x2, d2);
      d3 = FloatVector.broadcast(SPECIES, w[e + 3 * CHUNK + 3 * QUARTER]).fma(x3, d3);
    }
    if (last) {
      a0.add(a2).add(a1.add(a3)).intoArray(w, sums);
      b0.add(b2).add(b1.add(b3)).intoArray(w, sums + n);
      c0.add(c2).add(c1.add(c3)).intoArray(w, sums + 2 * n);
      d0.add(d2).add(d1.add(d3)).intoArray(w, sums + 3 * n);
      return;
    }
    a0.intoArray(w, sums);
    a1.intoArray(w, sums + n);
    a2.intoArray(w, sums + 2 * n);
    a3.intoArray(w, sums + 3 * n);
    b0.intoArray(w, sums + 4 * n);
    b1.intoArray(w, sums + 5 * n);
    b2.intoArray(w, sums + 6 * n);
    b3.intoArray(w, sums + 7 * n);
    c0.intoArray(w, sums + 8 * n);
    c1.intoArray(w, sums + 9 * n);
    c2.intoArray(w, sums + 10 * n);
    c3.intoArray(w, sums + 11 * n);
    d0.intoArray(w, sums + 12 * n);
    d1.intoArray(w, sums + 13 * n);
    d2.intoArray(w, sums + 14 * n);
    d3.intoArray(w, sums + 15 * n);
  }

  /** The sum of the quarters, and the elements that fill no vector. */
  private static void finish(
      DType type,
      float[] x,
      int xAt,
      int panel,
      long w,
      long rowBytes,
      int bound,
      int k,
      int column,
      int rows,
      float[] scratch) {
    int result = RESULTS + (panel * LANES + column) * N;
    int step = ROWS * QUARTER * N;
    for (int r = 0; r < rows; r++) {
      int at = SUMS + panel * SUMS_OF_PANEL + r * N;
      FloatVector sum = FloatVector.zero(SPECIES);
      if (bound > 0) {
        FloatVector even =
            FloatVector.fromArray(SPECIES, scratch, at)
                .add(FloatVector.fromArray(SPECIES, scratch, at + 2 * step));
        FloatVector odd =
            FloatVector.fromArray(SPECIES, scratch, at + step)
                .add(FloatVector.fromArray(SPECIES, scratch, at + 3 * step));
        sum = even.add(odd);
      }
      sum.intoArray(scratch, result + r * N);
      if (bound < k) {
        addRest(type, x, xAt, w + r * rowBytes, bound, k, scratch, result + r * N);
      }
    }
  }

  /**
   * As {@link VectorDotTiles} adds them: without fused operations, those of half width in pairs.
   */
  private static void addRest(
      DType type, float[] x, int xAt, long w, int from, int k, float[] sums, int at) {
    for (int i = at; i < at + N; i++) {
      sums[i] = VectorDotTiles.addRest(type, sums[i], x, xAt + i - at, N, w, from, k);
    }
  }

  /** Brings results of up to sixteen rows of weights to where each row of x has them. */
  private static void store(float[] scratch, int m, int columns, long out, long outStride) {
    for (int i = 0; i < m; i++) {
      int at = RESULTS + i / N * LANES * N + i % N;
      long to = out + 4 * (i * outStride);
      if (columns == N) {
        FloatVector.fromArray(SPECIES, scratch, at, COLUMN, 0)
            .intoMemorySegment(Memory.ALL, to, ORDER);
      } else {
        for (int j = 0; j < columns; j++) {
          Memory.setFloat(to + 4L * j, scratch[at + j * N]);
        }
      }
    }
  }
}
