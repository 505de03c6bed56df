package io.minigpt4.cpu;

import io.minigpt4.tensor.DType;
import java.util.Arrays;

/**
 * {@link Linear} by the tiles of {@link Kernels}.
 *
 * <p>This is the blocked product of Goto and van de Geijn (2008). All of x is copied once, slice by
 * slice of {@link #SLICE} columns, so that a slice is read from front to end. A thread takes a
 * panel of w at a time, as many rows of it (columns of out) as a full tile has lanes, and converts
 * a block of it, {@link #DEPTH} deep, into float32 in its second-level cache, consecutive rows of w
 * in consecutive lanes. All rows of x, a tile's worth at a time, then meet a slice of the panel,
 * which stays in the first level. Only the last panel of w may be narrower than the tile kernel
 * likes, and of x three rows at most are computed in vain. Panels of backward passes need no
 * transposition.
 */
final class TiledLinear extends Linear {
  /** Rows of a panel that are converted at a time; a multiple of {@link #SLICE}. */
  private static final int DEPTH = 512;

  /** A slice of a full panel of AVX-512 takes half of a first-level cache of 48 KB. */
  private static final int SLICE = 64;

  /** Columns of x that a thread copies at a time; a multiple of {@link #SLICE}. */
  private static final int PACK_DEPTH = 256;

  private final Kernels kernels;
  private final Buffer packed = new Buffer(Buffer.LARGE);
  private final Buffer[] panels;
  private final Buffer[] sums;
  private final Buffer[] rowOfWorker;
  private final Scratch[] stretches;
  private final Pack pack = new Pack();

  /** Columns of out that are one panel's. */
  private int chunk;

  /** Items that a panel is divided into. */
  private int rowParts;

  /** Rows of x, rounded up to whole tiles. */
  private int paddedRows;

  /** x in slices [depth][rows, padded][up to SLICE]. */
  private float[] packedX = {};

  TiledLinear(Kernels kernels, Team team) {
    super(team);
    this.kernels = kernels;
    this.panels = Buffer.array(team.size(), Buffer.LARGE);
    this.sums = Buffer.array(team.size(), Buffer.LARGE);
    this.rowOfWorker = Buffer.array(team.size(), 0);
    this.stretches = Scratch.array(team.size());
  }

  @Override
  void multiply() {
    paddedRows = roundUp(m);
    packedX = packed.floats((long) paddedRows * k);
    team.run(pack, (k + PACK_DEPTH - 1) / PACK_DEPTH);
    chunk = kernels.maxVectors() * kernels.lanes();
    int panelCount = (n + chunk - 1) / chunk;
    rowParts = rowParts(panelCount);
    team.run(this, panelCount * rowParts);
  }

  private static int roundUp(int rows) {
    return (rows + Kernels.TILE_ROWS - 1) / Kernels.TILE_ROWS * Kernels.TILE_ROWS;
  }

  @Override
  public void run(int item, int worker) {
    int from = item / rowParts * chunk;
    int part = item % rowParts;
    int firstRow = roundUp(m * part / rowParts);
    int lastRow = Math.min(m, roundUp(m * (part + 1) / rowParts));
    multiplyPanel(from, Math.min(n, from + chunk), firstRow, lastRow, worker);
  }

  /** Columns {@code from} to {@code to} of some rows of out. */
  private void multiplyPanel(int from, int to, int firstRow, int lastRow, int worker) {
    int columns = to - from;
    int vectors = (columns + kernels.lanes() - 1) / kernels.lanes();
    int width = vectors * kernels.lanes();
    float[] sum = sums[worker].floats((long) roundUp(lastRow - firstRow) * width);
    float[] panel = panels[worker].floats((long) width * Math.min(k, DEPTH));
    if (accumulate) {
      loadSums(from, columns, firstRow, lastRow, sum, width);
    }
    for (int depth = 0; depth < k; depth += DEPTH) {
      int length = Math.min(DEPTH, k - depth);
      if (columns < width) {
        Arrays.fill(panel, Buffer.START, Buffer.START + width * length, 0);
      }
      if (transposed) {
        loadColumns(from, columns, depth, length, panel, width);
      } else {
        loadRows(from, columns, depth, length, panel, width, worker);
      }
      for (int slice = 0; slice < length; slice += SLICE) {
        multiplySlice(vectors, panel, slice, depth + slice, firstRow, lastRow, sum);
      }
    }
    finish(from, columns, firstRow, lastRow, sum, width);
  }

  /**
   * Some rows of a slice of x times a slice of the panel.
   *
   * @param slice the first row of the panel
   * @param depth the first column of x
   */
  private void multiplySlice(
      int vectors, float[] panel, int slice, int depth, int firstRow, int lastRow, float[] sum) {
    int steps = Math.min(SLICE, k - depth);
    int width = vectors * kernels.lanes();
    int panelAt = Buffer.START + slice * width;
    int xAt = Buffer.START + depth * paddedRows;
    boolean add = accumulate || depth > 0;
    for (int row = firstRow; row < lastRow; row += Kernels.TILE_ROWS) {
      int rowAt = xAt + row * steps;
      int sumAt = Buffer.START + (row - firstRow) * width;
      kernels.tile(vectors, panel, panelAt, packedX, rowAt, steps, steps, sum, sumAt, add);
    }
  }

  /** A panel of w as it lies, [columns of out][k], which is transposed. */
  private void loadRows(
      int from, int columns, int depth, int length, float[] panel, int width, int worker) {
    if (type == DType.F32) {
      long first = w + 4 * ((long) from * k + depth);
      kernels.pack(first, k, columns, length, panel, Buffer.START, width);
      return;
    }
    int group = kernels.lanes();
    float[] row = rowOfWorker[worker].floats(length);
    long stretch = stretches[worker].floats((long) group * length);
    for (int c = 0; c < columns; c += group) {
      int rows = Math.min(group, columns - c);
      for (int i = 0; i < rows; i++) {
        toFloats((long) from + c + i, k, depth, length, row, 0);
        kernels.fromFloats(DType.F32, row, 0, stretch + 4L * i * length, length);
      }
      kernels.pack(stretch, length, rows, length, panel, Buffer.START + c, width);
    }
  }

  /** A panel of w as it lies, [k][columns of out]. */
  private void loadColumns(int from, int columns, int depth, int length, float[] panel, int width) {
    for (int i = 0; i < length; i++) {
      toFloats((long) depth + i, n, from, columns, panel, Buffer.START + i * width);
    }
  }

  /** Part of a row of w, which is {@code width} elements long. */
  private void toFloats(long row, int width, int from, int count, float[] to, int at) {
    if (type.isQuantised()) {
      kernels.quantised().toFloats(quantised, row, from, count, to, at);
    } else {
      kernels.toFloats(type, w + (row * width + from) * type.bytes(), to, at, count);
    }
  }

  /** What the result holds already, as the sums start from it. */
  private void loadSums(int from, int columns, int firstRow, int lastRow, float[] sum, int width) {
    int end = Buffer.START + roundUp(lastRow - firstRow) * width;
    Arrays.fill(sum, Buffer.START, end, 0);
    for (int row = firstRow; row < lastRow; row++) {
      long result = out + 4 * (row * outStride + from);
      int at = Buffer.START + (row - firstRow) * width;
      kernels.toFloats(DType.F32, result, sum, at, columns);
    }
  }

  /** The sums' way out, bias and GELU. */
  private void finish(int from, int columns, int firstRow, int lastRow, float[] sum, int width) {
    for (int row = firstRow; row < lastRow; row++) {
      long result = out + 4 * (row * outStride + from);
      int at = Buffer.START + (row - firstRow) * width;
      kernels.fromFloats(DType.F32, sum, at, result, columns);
      if (gelu) {
        kernels.addGelu(result, bias + 4L * from, columns);
      } else if (bias != 0) {
        kernels.add(result, bias + 4L * from, columns);
      }
    }
  }

  @Override
  public void close() {
    for (Scratch stretch : stretches) {
      stretch.close();
    }
  }

  /** Copies x, slice by slice: item = {@link #PACK_DEPTH} columns of it. */
  private final class Pack implements Team.Task {
    @Override
    public void run(int item, int worker) {
      int end = Math.min(k, (item + 1) * PACK_DEPTH);
      for (int depth = item * PACK_DEPTH; depth < end; depth += SLICE) {
        int steps = Math.min(SLICE, end - depth);
        int at = Buffer.START + depth * paddedRows;
        for (int row = 0; row < m; row++) {
          kernels.toFloats(
              DType.F32, x + 4 * (row * xStride + depth), packedX, at + row * steps, steps);
        }
        Arrays.fill(packedX, at + m * steps, at + paddedRows * steps, 0);
      }
    }
  }
}
