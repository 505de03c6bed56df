package io.minigpt4.cpu;

import io.minigpt4.kernels.BrainProducts;
import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.kernels.Element;
import io.minigpt4.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * {@link Linear} by native code, which {@code product.c} describes. Where the processor has dot
 * products of bfloat16, and nothing must be exact, weights in bfloat16, 8 and 4 bits meet x rounded
 * to bfloat16. A thread takes a panel of w at a time, two vectors of columns of out, and goes down
 * its blocks of at most {@link #DEPTH} columns of x. Where the rows of x lie so that they would
 * drive each other out of the first-level cache they are copied first.
 */
final class NativeLinear extends Linear {
  /**
   * The most columns of x that are multiplied at a time. The panel of as many takes a quarter of a
   * second-level cache of 1 MiB; with 512 products are 2 to 7 % slower.
   */
  private static final int DEPTH = 2048;

  /**
   * Rows of x this many bytes apart share one set of the first-level cache, which has room for 8 of
   * a tile's 14 lines; half as many are no slower than other distances.
   */
  private static final int SAME_SET = 4096;

  /** Floats between rows of a copy of x: a line of the cache. */
  private static final int GAP = 16;

  /** Elements that follow each row of x in bfloat16. */
  private static final int BRAIN_GAP = 32;

  /** Rows of x that a thread copies at a time. */
  private static final int PACK_ROWS = 16;

  private final CpuLibrary library;
  private final Kernels kernels;

  /** Null where it must not be used. */
  private final @Nullable BrainProducts brains;

  private final Scratch packed = new Scratch();
  private final Scratch[] panels;
  private final Scratch[] stretches;
  private final Buffer[] rowOfWorker;
  private final Pack pack = new Pack();

  /** Columns of out that are one panel's. */
  private final int chunk;

  private int panelCount;
  private int rowParts;

  /** Columns of x that are multiplied at a time. */
  private int depth;

  /** The copy of x in blocks [rows][depth + GAP], or in bfloat16 [rows][brainStride], or 0. */
  private long packedX;

  /** What multiplies this time if it is dot products of bfloat16. */
  private @Nullable BrainProducts byBrains;

  private long brainStride;

  NativeLinear(CpuLibrary library, Kernels kernels, Team team, boolean exact) {
    super(team);
    this.library = library;
    this.brains = exact ? null : library.brains();
    this.kernels = kernels;
    this.chunk = library.blockColumns();
    this.panels = Scratch.array(team.size());
    this.stretches = Scratch.array(team.size());
    this.rowOfWorker = Buffer.array(team.size(), 0);
  }

  @Override
  void multiply() {
    boolean rounded = type == DType.BF16 || type.isQuantised();
    byBrains = rounded && !transposed && k % 2 == 0 ? brains : null;
    int deepest = byBrains == null ? DEPTH : 2 * DEPTH;
    int blocks = (k + deepest - 1) / deepest;
    depth = ((k + blocks - 1) / blocks + 15) / 16 * 16;
    packedX = 0;
    if (byBrains != null) {
      brainStride = (k + BRAIN_GAP - 1L) / BRAIN_GAP * BRAIN_GAP + BRAIN_GAP;
      packedX = packed.floats(m * brainStride / 2);
      team.run(pack, (m + PACK_ROWS - 1) / PACK_ROWS);
    } else if (Float.BYTES * xStride % SAME_SET == 0) {
      packedX = packed.floats((long) m * (k + blocks * GAP));
      team.run(pack, (m + PACK_ROWS - 1) / PACK_ROWS);
    }
    panelCount = (n + chunk - 1) / chunk;
    rowParts = rowParts(panelCount);
    team.run(this, panelCount * rowParts);
  }

  @Override
  public void run(int item, int worker) {
    int panel = item / rowParts;
    int part = item % rowParts;
    int firstRow = m * part / rowParts;
    BrainProducts code = byBrains;
    if (code == null) {
      multiplyPanel(panel, firstRow, m * (part + 1) / rowParts, worker);
    } else {
      multiplyPairs(code, panel, firstRow, m * (part + 1) / rowParts, worker);
    }
  }

  /** {@link #multiplyPanel} by dot products of bfloat16. */
  private void multiplyPairs(BrainProducts code, int panel, int firstRow, int lastRow, int worker) {
    int from = panel * chunk;
    int columns = Math.min(chunk, n - from);
    long scratch = panels[worker].floats(library.panel(depth / 2));
    for (int c = 0; c < k; c += depth) {
      int length = Math.min(depth, k - c);
      boolean direct = type == DType.BF16;
      boolean last = c + length == k;
      int nextFrom = last ? from + team.size() * chunk : from;
      int nextColumn = last ? 0 : c + length;
      code.product(
          packedX + 2 * (firstRow * brainStride + c),
          brainStride,
          lastRow - firstRow,
          length,
          direct ? address(from, c) : toBrains(code, from, columns, c, length, worker),
          2L * (direct ? k : length),
          columns,
          scratch,
          out + 4 * (firstRow * outStride + from),
          outStride,
          c > 0 || accumulate,
          last ? biasAt(from) : 0,
          gelu,
          direct && nextFrom + columns <= n ? address(nextFrom, nextColumn) : 0,
          Math.min(depth, k - nextColumn));
    }
  }

  /** A block of quantised weights in bfloat16 [columns][length]. */
  private long toBrains(BrainProducts code, int from, int columns, int c, int length, int worker) {
    long stretch = stretches[worker].floats((long) chunk * depth / 2);
    long at = quantised.row(from);
    long scales = quantised.scales(from);
    if (type == DType.Q8) {
      code.ofBytes(at, quantised.rowBytes(), scales, columns, c, length, stretch);
    } else {
      code.ofNibbles(
          at,
          quantised.rowBytes(),
          scales,
          quantised.scaleBytes(),
          quantised.group(),
          columns,
          c,
          length,
          stretch);
    }
    return stretch;
  }

  /** Some rows of out, all columns of a panel. */
  private void multiplyPanel(int panel, int firstRow, int lastRow, int worker) {
    int from = panel * chunk;
    int columns = Math.min(chunk, n - from);
    long scratch = panels[worker].floats(library.panel(depth));
    long result = out + 4 * (firstRow * outStride + from);
    boolean direct = !type.isQuantised();
    for (int c = 0; c < k; c += depth) {
      int length = Math.min(depth, k - c);
      long block = direct ? address(from, c) : toFloats(from, columns, c, length, worker);
      long rowBytes = 4L * (transposed ? columns : length);
      boolean last = c + length == k;
      // Others of the team are at the panels in between.
      int nextFrom = last ? from + team.size() * chunk : from;
      int nextColumn = last ? 0 : c + length;
      library.product(
          direct ? NativeDots.element(type) : Element.F32,
          packedX == 0
              ? x + 4 * (firstRow * xStride + c)
              : packedBlock(c) + 4L * firstRow * (length + GAP),
          packedX == 0 ? xStride : length + GAP,
          lastRow - firstRow,
          length,
          block,
          direct ? (transposed ? n : k) * (long) type.bytes() : rowBytes,
          transposed,
          columns,
          scratch,
          result,
          outStride,
          accumulate || c > 0,
          last ? biasAt(from) : 0,
          gelu,
          direct && nextFrom + columns <= n ? address(nextFrom, nextColumn) : 0,
          Math.min(depth, k - nextColumn));
    }
  }

  /** Where the copy of the columns from {@code c} on begins. */
  private long packedBlock(int c) {
    return packedX + 4L * m * (c + c / depth * GAP);
  }

  private long biasAt(int column) {
    return bias == 0 ? 0 : bias + 4L * column;
  }

  /** Where w's element for a column of out and a column of x lies. */
  private long address(int column, int c) {
    long index = transposed ? (long) c * n + column : (long) column * k + c;
    return w + index * type.bytes();
  }

  /**
   * A block of quantised weights as floats: [columns][length] or, transposed, [length][columns].
   */
  private long toFloats(int from, int columns, int c, int length, int worker) {
    int rows = transposed ? length : columns;
    int width = transposed ? columns : length;
    int firstRow = transposed ? c : from;
    int firstColumn = transposed ? from : c;
    long stretch = stretches[worker].floats((long) chunk * depth);
    if (library.hasQuantised()) {
      long at = quantised.row(firstRow);
      long scales = quantised.scales(firstRow);
      if (type == DType.Q8) {
        library.floatsOfBytes(at, quantised.rowBytes(), scales, rows, firstColumn, width, stretch);
      } else {
        library.floatsOfNibbles(
            at,
            quantised.rowBytes(),
            scales,
            quantised.scaleBytes(),
            quantised.group(),
            rows,
            firstColumn,
            width,
            stretch);
      }
      return stretch;
    }
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

  /** Copies x, block by block, or rounds it: item = {@link #PACK_ROWS} rows of it. */
  private final class Pack implements Team.Task {
    @Override
    public void run(int item, int worker) {
      int end = Math.min(m, (item + 1) * PACK_ROWS);
      BrainProducts code = byBrains;
      if (code != null) {
        long first = (long) item * PACK_ROWS;
        long to = packedX + 2 * first * brainStride;
        code.round(x + 4 * first * xStride, xStride, (int) (end - first), k, to, brainStride);
        return;
      }
      for (int row = item * PACK_ROWS; row < end; row++) {
        for (int c = 0; c < k; c += depth) {
          long length = Math.min(depth, k - c);
          Memory.copy(
              x + 4 * (row * xStride + c), packedBlock(c) + 4L * row * (length + GAP), 4 * length);
        }
      }
    }
  }
}
