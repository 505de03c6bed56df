package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;

/**
 * out = x · wᵀ + bias for any number of rows of x.
 *
 * <p>Few rows: every weight is used a few times, so the weights' way from memory decides; {@link
 * Kernels#dots} streams them once, shared out by rows of w.
 *
 * <p>Many rows: the blocked product of Goto and van de Geijn (2008) turned on its side. All of x is
 * packed once into panels. A thread takes {@link #COLUMNS} rows of w (columns of out) at a time and
 * converts a block of them, {@link #DEPTH} deep, into float32 in its second-level cache; the tile
 * kernel then runs over slices of {@link #SLICE} so that the slice of the panel stays in the first
 * level. Sums stay transposed until the end, when bias and GELU are applied to whole rows of them.
 */
final class Linear implements Team.Task, AutoCloseable {
  /** The most rows that go through {@link Kernels#dots}. */
  static final int FEW_ROWS = 8;

  private static final int COLUMNS = 128;
  private static final int DEPTH = 1024;
  private static final int SLICE = 64;
  private static final int PACK_DEPTH = 256;
  private static final int BLOCK_ROWS = 768;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 15;

  private final Kernels kernels;
  private final Team team;
  private final Panels panels = new Panels();
  private final Scratch packed = new Scratch();
  private final Scratch[] blocks;
  private final Scratch[] sums;
  private final Pack pack = new Pack();

  private long x;
  private long xStride;
  private int m;
  private int k;
  private DType type = DType.F32;
  private long w;
  private int n;
  private long bias;
  private boolean gelu;
  private long out;
  private long outStride;
  private int chunk;
  private long packedX;

  Linear(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.blocks = Scratch.array(team.size());
    this.sums = Scratch.array(team.size());
  }

  /** Sets the right operand: w [n, k] of a type, bias [n] or 0. */
  void weights(DType weightType, long weights, int rows, int depth, long biasAddress) {
    type = weightType;
    w = weights;
    n = rows;
    k = depth;
    bias = biasAddress;
  }

  /** Multiplies. {@link #weights} first. */
  void run(long xAddress, long xRows, int rows, boolean withGelu, long outAddress, long outRows) {
    if (rows == 0 || n == 0) {
      return;
    }
    gelu = withGelu;
    xStride = xRows;
    outStride = outRows;
    if (rows <= FEW_ROWS) {
      x = xAddress;
      m = rows;
      out = outAddress;
      chunk = fewRowsChunk();
      team.run(this, (n + chunk - 1) / chunk);
      return;
    }
    int parts = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (int part = 0; part < parts; part++) {
      long first = (long) rows * part / parts;
      x = xAddress + 4 * first * xStride;
      m = (int) ((long) rows * (part + 1) / parts - first);
      out = outAddress + 4 * first * outStride;
      runPanels();
    }
  }

  private int fewRowsChunk() {
    if ((long) m * n * k < SERIAL_WORK) {
      return n;
    }
    long bytesPerRow = (long) k * type.bytes();
    long rows = Math.max(4, (1 << 17) / bytesPerRow);
    long fair = (n + 8L * team.size() - 1) / (8L * team.size());
    return (int) Math.max(4, Math.min(rows, fair) + 3 & ~3);
  }

  private void runPanels() {
    int lanes = kernels.lanes();
    panels.divide(m, lanes, kernels.maxVectors());
    int width = panels.firstVector(panels.count()) * lanes;
    packedX = packed.floats((long) width * k);
    int depths = (k + PACK_DEPTH - 1) / PACK_DEPTH;
    team.run(pack, panels.count() * depths);
    long fair = (n + 4L * team.size() - 1) / (4L * team.size());
    chunk = Math.clamp(fair + 3 & ~3, 16, COLUMNS);
    team.run(this, (n + chunk - 1) / chunk);
  }

  @Override
  public void run(int item, int worker) {
    int from = item * chunk;
    int to = Math.min(n, from + chunk);
    if (m <= FEW_ROWS) {
      multiplyFewRows(from, to);
    } else {
      multiplyPanels(from, to, worker);
    }
  }

  private void multiplyFewRows(int from, int to) {
    long rows = w + (long) from * k * type.bytes();
    kernels.dots(type, x, xStride, m, rows, k, to - from, k, out + 4L * from, outStride);
    if (bias == 0) {
      return;
    }
    for (int i = 0; i < m; i++) {
      long row = out + 4 * (i * outStride + from);
      if (gelu) {
        kernels.addGelu(row, bias + 4L * from, to - from);
      } else {
        kernels.add(row, bias + 4L * from, to - from);
      }
    }
  }

  private void multiplyPanels(int from, int to, int worker) {
    int lanes = kernels.lanes();
    int columns = to - from;
    int padded = columns + 3 & ~3;
    int width = panels.firstVector(panels.count()) * lanes;
    long sum = sums[worker].floats((long) padded * width);
    long block = blocks[worker].floats((long) padded * Math.min(k, DEPTH));
    for (int depth = 0; depth < k; depth += DEPTH) {
      int length = Math.min(DEPTH, k - depth);
      convert(from, to, depth, length, block);
      for (int p = 0; p < panels.count(); p++) {
        int vectors = panels.vectors(p);
        int panelWidth = vectors * lanes;
        long panel = packedX + 4L * panels.firstRow(p) * k;
        long panelSum = sum + 4L * panels.firstRow(p) * padded;
        for (int slice = 0; slice < length; slice += SLICE) {
          int steps = Math.min(SLICE, length - slice);
          long xSlice = panel + 4L * (depth + slice) * panelWidth;
          boolean add = depth + slice > 0;
          for (int c = 0; c < padded; c += Kernels.TILE_ROWS) {
            long wTile = block + 4L * ((long) c * length + slice);
            long acc = panelSum + 4L * c * panelWidth;
            kernels.tile(vectors, xSlice, wTile, length, 1, steps, acc, add);
          }
        }
      }
    }
    for (int p = 0; p < panels.count(); p++) {
      finish(p, from, columns, sum + 4L * panels.firstRow(p) * padded);
    }
  }

  /** Rows {@code from} to {@code to} of w, {@code length} columns from {@code depth}, as floats. */
  private void convert(int from, int to, int depth, int length, long block) {
    for (int row = from; row < to; row++) {
      long source = w + ((long) row * k + depth) * type.bytes();
      kernels.toFloat(type, source, block + 4L * (row - from) * length, length);
    }
    int missing = -(to - from) & 3;
    Memory.fill(block + 4L * (to - from) * length, (long) missing * length, 0);
  }

  /** Bias, GELU and the way out of panel {@code p}'s sums [columns][panel width]. */
  private void finish(int p, int from, int columns, long panelSum) {
    int panelWidth = panels.vectors(p) * kernels.lanes();
    if (bias != 0) {
      for (int c = 0; c < columns; c++) {
        float value = Memory.getFloat(bias + 4L * (from + c));
        long row = panelSum + 4L * c * panelWidth;
        if (gelu) {
          kernels.addConstantGelu(row, panelWidth, value);
        } else {
          kernels.addConstant(row, panelWidth, value);
        }
      }
    }
    int firstRow = panels.firstRow(p);
    int rows = Math.min(panelWidth, m - firstRow);
    long to = out + 4 * (firstRow * outStride + from);
    kernels.transpose(
        panelSum, panelWidth, to, outStride, /* rows= */ columns, /* columns= */ rows);
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
      long to = packedX + 4 * ((long) firstRow * k + (long) from * panelWidth);
      if (rows < panelWidth) {
        Memory.fill(to, (long) length * panelWidth, 0);
      }
      long source = x + 4 * (firstRow * xStride + from);
      kernels.transpose(source, xStride, to, panelWidth, rows, length);
    }
  }

  @Override
  public void close() {
    packed.close();
    for (int i = 0; i < blocks.length; i++) {
      blocks[i].close();
      sums[i].close();
    }
  }
}
