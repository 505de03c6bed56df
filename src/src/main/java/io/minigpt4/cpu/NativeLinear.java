package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.kernels.Element;
import io.minigpt4.tensor.DType;

/**
 * {@link Linear} by native code, which {@code product.c} describes. x is copied once, block by
 * block of {@link #DEPTH} columns. A thread takes a panel of w at a time, two vectors of columns of
 * out, and goes down its blocks.
 */
final class NativeLinear extends Linear {
  /** Columns of x that are multiplied at a time. */
  private static final int DEPTH = 512;

  /** Rows of x that a thread copies at a time. */
  private static final int PACK_ROWS = 16;

  private final CpuLibrary library;
  private final Kernels kernels;
  private final Scratch packed = new Scratch();
  private final Scratch[] panels;
  private final Scratch[] stretches;
  private final Buffer[] rowOfWorker;
  private final Pack pack = new Pack();

  /** Columns of out that are one panel's. */
  private final int chunk;

  private int panelCount;
  private int rowParts;

  /** x in blocks [depth][rows][up to DEPTH]. */
  private long packedX;

  NativeLinear(CpuLibrary library, Kernels kernels, Team team) {
    super(team);
    this.library = library;
    this.kernels = kernels;
    this.chunk = library.blockColumns();
    this.panels = Scratch.array(team.size());
    this.stretches = Scratch.array(team.size());
    this.rowOfWorker = Buffer.array(team.size(), 0);
  }

  @Override
  void multiply() {
    packedX = packed.floats((long) m * k);
    team.run(pack, (m + PACK_ROWS - 1) / PACK_ROWS);
    panelCount = (n + chunk - 1) / chunk;
    rowParts = rowParts(panelCount);
    team.run(this, panelCount * rowParts);
  }

  @Override
  public void run(int item, int worker) {
    int panel = item / rowParts;
    int part = item % rowParts;
    int firstRow = m * part / rowParts;
    multiplyPanel(panel, firstRow, m * (part + 1) / rowParts, worker);
  }

  /** Some rows of out, all columns of a panel. */
  private void multiplyPanel(int panel, int firstRow, int lastRow, int worker) {
    int from = panel * chunk;
    int columns = Math.min(chunk, n - from);
    long scratch = panels[worker].floats(library.panel(Math.min(k, DEPTH)));
    long result = out + 4 * (firstRow * outStride + from);
    boolean direct = !type.isQuantised();
    for (int depth = 0; depth < k; depth += DEPTH) {
      int length = Math.min(DEPTH, k - depth);
      long block = direct ? address(from, depth) : toFloats(from, columns, depth, length, worker);
      long rowBytes = 4L * (transposed ? columns : length);
      boolean last = depth + length == k;
      // Others of the team are at the panels in between.
      int nextFrom = last ? from + team.size() * chunk : from;
      int nextDepth = last ? 0 : depth + length;
      library.product(
          direct ? NativeDots.element(type) : Element.F32,
          packedX + 4 * ((long) depth * m + (long) firstRow * length),
          lastRow - firstRow,
          length,
          block,
          direct ? (transposed ? n : k) * (long) type.bytes() : rowBytes,
          transposed,
          columns,
          scratch,
          result,
          outStride,
          accumulate || depth > 0,
          last ? biasAt(from) : 0,
          gelu,
          direct && nextFrom + columns <= n ? address(nextFrom, nextDepth) : 0,
          Math.min(DEPTH, k - nextDepth));
    }
  }

  private long biasAt(int column) {
    return bias == 0 ? 0 : bias + 4L * column;
  }

  /** Where w's element for a column of out and a column of x lies. */
  private long address(int column, int depth) {
    long index = transposed ? (long) depth * n + column : (long) column * k + depth;
    return w + index * type.bytes();
  }

  /**
   * A block of quantised weights as floats: [columns][length] or, transposed, [length][columns].
   */
  private long toFloats(int from, int columns, int depth, int length, int worker) {
    int rows = transposed ? length : columns;
    int width = transposed ? columns : length;
    int firstRow = transposed ? depth : from;
    int firstColumn = transposed ? from : depth;
    long stretch = stretches[worker].floats((long) chunk * DEPTH);
    float[] row = rowOfWorker[worker].floats(width);
    for (int i = 0; i < rows; i++) {
      kernels.quantised().toFloats(quantised, (long) firstRow + i, firstColumn, width, row, 0);
      kernels.fromFloats(DType.F32, row, 0, stretch + 4L * i * width, width);
    }
    return stretch;
  }

  @Override
  public void close() {
    packed.close();
    for (int i = 0; i < panels.length; i++) {
      panels[i].close();
      stretches[i].close();
    }
  }

  /** Copies x, block by block: item = {@link #PACK_ROWS} rows of it. */
  private final class Pack implements Team.Task {
    @Override
    public void run(int item, int worker) {
      int end = Math.min(m, (item + 1) * PACK_ROWS);
      for (int row = item * PACK_ROWS; row < end; row++) {
        for (int depth = 0; depth < k; depth += DEPTH) {
          long length = Math.min(DEPTH, k - depth);
          Memory.copy(
              x + 4 * (row * xStride + depth),
              packedX + 4 * ((long) depth * m + row * length),
              4 * length);
        }
      }
    }
  }
}
