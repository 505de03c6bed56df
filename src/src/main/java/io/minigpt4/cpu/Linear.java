package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.util.Arrays;

/**
 * out = x · wᵀ + bias for any number of rows of x, in one of two ways. In either, a row's result is
 * the same to the last bit whatever the number of rows; between the two it is not.
 *
 * <p>For rows that come one a sequence, every weight is used a few times, so the weights' way from
 * memory decides; {@link Kernels#dots} streams them once, shared out by rows of w.
 *
 * <p>For rows that come together, the blocked product of Goto and van de Geijn (2008) turned on its
 * side. All of x is packed once into panels. A thread takes up to {@link #COLUMNS} rows of w
 * (columns of out) at a time and converts a block of them, {@link #DEPTH} deep, into float32 in its
 * second-level cache; the tile kernel then runs over slices of {@link #SLICE}, so that the slice of
 * the panel stays in the first level. The slice itself comes from the third level as a rule, and
 * takes as long as some twenty rows of w: the more rows meet it, the less that counts. Sums stay
 * transposed until the end, when bias and GELU are applied to whole rows of them.
 *
 * <p>The product of backward passes, out = x · w with w as it lies, takes the second way for any
 * number of rows; only the conversion of a block of w differs, which is transposed on the way.
 */
final class Linear implements Team.Task, AutoCloseable {
  private static final int COLUMNS = 256;
  private static final int DEPTH = 256;
  private static final int SLICE = 64;
  private static final int PACK_DEPTH = 256;
  private static final int BLOCK_ROWS = 768;

  /** Rows of w that are converted at a time on their way to being transposed. */
  private static final int TRANSPOSED_ROWS = 64;

  /** Weights in bytes that a thread takes at a time where they are streamed. */
  private static final int STREAM_BYTES = 1 << 17;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 15;

  private final Kernels kernels;
  private final Team team;
  private final Panels panels = new Panels();
  private final Buffer packed = new Buffer(Buffer.LARGE);
  private final Buffer[] blocks;
  private final Buffer[] sums;
  private final Buffer[] rowOfWorker;
  private final Scratch[] stretches;
  private final Pack pack = new Pack();

  private long x;
  private long xStride;
  private int m;
  private int k;
  private DType type = DType.F32;
  private long w;
  private final QuantisedRows quantised = new QuantisedRows();
  private int n;
  private boolean transposed;
  private boolean accumulate;
  private long bias;
  private boolean gelu;
  private boolean dots;
  private long out;
  private long outStride;
  private int chunk;

  /** x in panels, or arranged for {@link Kernels#dots}. */
  private float[] packedX = {};

  Linear(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.blocks = Buffer.array(team.size(), 0);
    this.sums = Buffer.array(team.size(), Buffer.LARGE);
    this.rowOfWorker = Buffer.array(team.size(), 0);
    this.stretches = Scratch.array(team.size());
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

  private long rowBytes() {
    return type.isQuantised() ? quantised.rowBytes() : (long) k * type.bytes();
  }

  /** Multiplies rows that come together. {@link #weights} first. */
  void run(long xAddress, long xRows, int rows, boolean withGelu, long outAddress, long outRows) {
    gelu = withGelu;
    dots = false;
    multiply(xAddress, xRows, rows, outAddress, outRows);
  }

  /** Multiplies rows that come one a sequence. {@link #weights} first. */
  void runPerRow(long xAddress, long xRows, int rows, long outAddress, long outRows) {
    gelu = false;
    dots = true;
    multiply(xAddress, xRows, rows, outAddress, outRows);
  }

  private void multiply(long xAddress, long xRows, int rows, long outAddress, long outRows) {
    if (rows == 0 || n == 0) {
      return;
    }
    xStride = xRows;
    outStride = outRows;
    int limit = dots ? Kernels.DOT_ROWS : BLOCK_ROWS;
    int parts = (rows + limit - 1) / limit;
    for (int part = 0; part < parts; part++) {
      int first = (int) ((long) rows * part / parts);
      x = xAddress + 4L * first * xStride;
      m = (int) ((long) rows * (part + 1) / parts) - first;
      out = outAddress + 4L * first * outStride;
      if (dots) {
        runDots();
      } else {
        runPanels();
      }
    }
  }

  private void runDots() {
    if (type.isQuantised()) {
      packedX = packed.floats(kernels.quantised().arranged(quantised, m));
      kernels.quantised().arrange(quantised, x, xStride, m, packedX);
    } else {
      packedX = packed.floats((long) m * k);
      kernels.arrange(type, x, xStride, m, k, packedX);
    }
    if ((long) m * n * k < SERIAL_WORK) {
      chunk = n;
    } else {
      long streamed = STREAM_BYTES / Math.max(1, rowBytes());
      long fair = (n + 8L * team.size() - 1) / (8L * team.size());
      chunk = roundUp((int) Math.clamp(fair, 4, Math.max(4, streamed)));
    }
    team.run(this, (n + chunk - 1) / chunk);
  }

  private void runPanels() {
    int lanes = kernels.lanes();
    panels.divide(m, lanes, kernels.maxVectors());
    int width = panels.firstVector(panels.count()) * lanes;
    packedX = packed.floats((long) width * k);
    int depths = (k + PACK_DEPTH - 1) / PACK_DEPTH;
    team.run(pack, panels.count() * depths);
    int fair = (n + 4 * team.size() - 1) / (4 * team.size());
    chunk = roundUp(Math.clamp(fair, 16, COLUMNS));
    team.run(this, (n + chunk - 1) / chunk);
  }

  private static int roundUp(int rows) {
    return (rows + Kernels.TILE_ROWS - 1) / Kernels.TILE_ROWS * Kernels.TILE_ROWS;
  }

  @Override
  public void run(int item, int worker) {
    int from = item * chunk;
    int to = Math.min(n, from + chunk);
    if (dots) {
      multiplyDots(from, to, worker);
    } else {
      multiplyPanels(from, to, worker);
    }
  }

  private void multiplyDots(int from, int to, int worker) {
    float[] scratch = blocks[worker].floats(kernels.dotScratch());
    long first = out + 4L * from;
    if (type.isQuantised()) {
      kernels.quantised().dots(quantised, packedX, m, from, to - from, first, outStride, scratch);
    } else {
      long rows = w + from * rowBytes();
      kernels.dots(type, packedX, m, rows, k, to - from, k, first, outStride, scratch);
    }
    if (bias != 0) {
      for (int i = 0; i < m; i++) {
        kernels.add(out + 4 * (i * outStride + from), bias + 4L * from, to - from);
      }
    }
  }

  private void multiplyPanels(int from, int to, int worker) {
    int lanes = kernels.lanes();
    int padded = roundUp(to - from);
    int width = panels.firstVector(panels.count()) * lanes;
    float[] sum = sums[worker].floats((long) padded * width);
    float[] block = blocks[worker].floats((long) padded * Math.min(k, DEPTH));
    if (accumulate) {
      loadSums(from, to - from, padded, sum);
    }
    for (int depth = 0; depth < k; depth += DEPTH) {
      int length = Math.min(DEPTH, k - depth);
      if (transposed) {
        convertTransposed(from, to, depth, length, block, worker);
      } else {
        convert(from, to, depth, length, block);
      }
      for (int p = 0; p < panels.count(); p++) {
        int vectors = panels.vectors(p);
        int panelWidth = vectors * lanes;
        int panel = Buffer.START + panels.firstRow(p) * k;
        int panelSum = Buffer.START + panels.firstRow(p) * padded;
        for (int slice = 0; slice < length; slice += SLICE) {
          int steps = Math.min(SLICE, length - slice);
          int xAt = panel + (depth + slice) * panelWidth;
          boolean add = accumulate || depth + slice > 0;
          for (int c = 0; c < padded; c += Kernels.TILE_ROWS) {
            int wAt = Buffer.START + c * length + slice;
            int accAt = panelSum + c * panelWidth;
            kernels.tile(vectors, packedX, xAt, block, wAt, length, steps, sum, accAt, add);
          }
        }
      }
    }
    for (int p = 0; p < panels.count(); p++) {
      finish(p, from, to - from, sum, Buffer.START + panels.firstRow(p) * padded);
    }
  }

  /** Rows {@code from} to {@code to} of w, {@code length} columns from {@code depth}, as floats. */
  private void convert(int from, int to, int depth, int length, float[] block) {
    int at = Buffer.START;
    for (int row = from; row < to; row++) {
      toFloats(row, k, depth, length, block, at);
      at += length;
    }
    int missing = roundUp(to - from) - (to - from);
    Arrays.fill(block, at, at + missing * length, 0);
  }

  /** Part of a row of w, which is {@code width} elements long. */
  private void toFloats(long row, int width, int from, int count, float[] to, int at) {
    if (type.isQuantised()) {
      kernels.quantised().toFloats(quantised, row, from, count, to, at);
    } else {
      kernels.toFloats(type, w + (row * width + from) * type.bytes(), to, at, count);
    }
  }

  /** Columns {@code from} to {@code to} of w as rows, {@code length} deep from {@code depth}. */
  private void convertTransposed(
      int from, int to, int depth, int length, float[] block, int worker) {
    int columns = to - from;
    if (type == DType.F32) {
      long source = w + ((long) depth * n + from) * type.bytes();
      kernels.pack(source, n, length, columns, block, Buffer.START, length);
    } else {
      float[] row = rowOfWorker[worker].floats(columns);
      long stretch = stretches[worker].floats((long) TRANSPOSED_ROWS * columns);
      for (int first = 0; first < length; first += TRANSPOSED_ROWS) {
        int rows = Math.min(TRANSPOSED_ROWS, length - first);
        for (int i = 0; i < rows; i++) {
          toFloats((long) depth + first + i, n, from, columns, row, 0);
          kernels.fromFloats(DType.F32, row, 0, stretch + 4L * i * columns, columns);
        }
        kernels.pack(stretch, columns, rows, columns, block, Buffer.START + first, length);
      }
    }
    int end = Buffer.START + columns * length;
    Arrays.fill(block, end, end + (roundUp(columns) - columns) * length, 0);
  }

  /** What the result's columns hold already, as the sums start from it. */
  private void loadSums(int from, int columns, int padded, float[] sum) {
    for (int p = 0; p < panels.count(); p++) {
      int panelWidth = panels.vectors(p) * kernels.lanes();
      int firstRow = panels.firstRow(p);
      int at = Buffer.START + firstRow * padded;
      Arrays.fill(sum, at, at + padded * panelWidth, 0);
      long source = out + 4 * (firstRow * outStride + from);
      kernels.pack(
          source, outStride, Math.min(panelWidth, m - firstRow), columns, sum, at, panelWidth);
    }
  }

  /** Bias, GELU and the way out of panel {@code p}'s sums [columns][panel width]. */
  private void finish(int p, int from, int columns, float[] sum, int at) {
    int panelWidth = panels.vectors(p) * kernels.lanes();
    if (bias != 0) {
      for (int c = 0; c < columns; c++) {
        float value = Memory.getFloat(bias + 4L * (from + c));
        if (gelu) {
          kernels.addConstantGelu(sum, at + c * panelWidth, panelWidth, value);
        } else {
          kernels.addConstant(sum, at + c * panelWidth, panelWidth, value);
        }
      }
    }
    int firstRow = panels.firstRow(p);
    int rows = Math.min(panelWidth, m - firstRow);
    long to = out + 4 * (firstRow * outStride + from);
    kernels.unpack(sum, at, panelWidth, /* rows= */ columns, /* columns= */ rows, to, outStride);
  }

  @Override
  public void close() {
    for (Scratch stretch : stretches) {
      stretch.close();
    }
  }

  /** Packs x into panels: item = panel · slices of {@link #PACK_DEPTH} + slice. */
  private final class Pack implements Team.Task {
    @Override
    public void run(int item, int worker) {
      int depths = (k + PACK_DEPTH - 1) / PACK_DEPTH;
      int p = item / depths;
      int from = item % depths * PACK_DEPTH;
      int length = Math.min(PACK_DEPTH, k - from);
      int panelWidth = panels.vectors(p) * kernels.lanes();
      int firstRow = panels.firstRow(p);
      int rows = Math.min(panelWidth, m - firstRow);
      int at = Buffer.START + firstRow * k + from * panelWidth;
      if (rows < panelWidth) {
        Arrays.fill(packedX, at, at + length * panelWidth, 0);
      }
      long source = x + 4 * (firstRow * xStride + from);
      kernels.pack(source, xStride, rows, length, packedX, at, panelWidth);
    }
  }
}
