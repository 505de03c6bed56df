package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The backward pass of causal attention within sequences that start in the batch. As in {@link
 * Attention}, queries lie along the lanes; a panel of them meets all keys before it, its
 * probabilities are computed anew, and all five products run on the same tile kernel. What is held
 * at a time is [keys][panel width], never [keys][queries].
 *
 * <p>A work item is one sequence's key head with all query heads that share it, so that the
 * gradients of its keys and values are summed by one thread. Where there is native code that does
 * an item's work.
 */
final class AttentionBackward implements Team.Task, AutoCloseable {
  private static final int BLOCK = KvCache.Pool.PAGE;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 16;

  private final Kernels kernels;
  private final GradKernels gradients;
  private final Team team;
  private final @Nullable NativeAttention nativeCode;
  private final Work[] workOfWorker;

  private long q;
  private long qStride;
  private long dOut;
  private long dOutStride;
  private long dq;
  private long dqStride;
  private long dk;
  private long dkStride;
  private long dv;
  private long dvStride;
  private int heads;
  private int kvHeads;
  private int headDim;
  private int layer;
  private float scale;
  private Batch batch = new Batch(0);

  AttentionBackward(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.gradients = kernels.gradients();
    this.team = team;
    CpuLibrary library = kernels.library();
    this.nativeCode = library == null ? null : new NativeAttention(library, team);
    this.workOfWorker = new Work[team.size()];
    Arrays.setAll(workOfWorker, i -> new Work());
  }

  /** Sets queries and the result's gradient, both [rows, heads · headDim] with a row stride. */
  void queries(
      long qAddress, long qRows, int headCount, int headWidth, long dOutAddress, long dOutRows) {
    q = qAddress;
    qStride = qRows;
    heads = headCount;
    headDim = headWidth;
    dOut = dOutAddress;
    dOutStride = dOutRows;
  }

  /** Sets where the gradients go. */
  void results(
      long dqAddress, long dqRows, long dkAddress, long dkRows, long dvAddress, long dvRows) {
    dq = dqAddress;
    dqStride = dqRows;
    dk = dkAddress;
    dkStride = dkRows;
    dv = dvAddress;
    dvStride = dvRows;
  }

  /** Computes them; {@link #queries} and {@link #results} first. */
  void run(Batch rows, int layerIndex) {
    batch = rows;
    layer = layerIndex;
    kvHeads = rows.cache(0).pool().kvHeads();
    scale = (float) (1 / Math.sqrt(headDim));
    long scores = 0;
    for (int i = 0; i < rows.size(); i++) {
      scores += (long) rows.rows(i) * rows.rows(i);
    }
    int items = rows.size() * kvHeads;
    if (scores * heads * headDim < SERIAL_WORK) {
      for (int i = 0; i < items; i++) {
        run(i, 0);
      }
    } else {
      team.run(this, items);
    }
  }

  @Override
  public void run(int item, int worker) {
    int sequence = item / kvHeads;
    int kvHead = item % kvHeads;
    if (batch.rows(sequence) == 0) {
      return;
    }
    if (nativeCode != null && batch.cache(sequence).pool().dtype() == DType.F32) {
      runNatively(nativeCode, sequence, kvHead, worker);
    } else {
      workOfWorker[worker].run(sequence, kvHead);
    }
  }

  private void runNatively(NativeAttention code, int sequence, int kvHead, int worker) {
    KvCache cache = batch.cache(sequence);
    KvCache.Pool pool = cache.pool();
    long row = batch.start(sequence);
    int group = heads / kvHeads;
    long column = (long) kvHead * group * headDim;
    long keyColumn = (long) kvHead * headDim;
    int rows = batch.rows(sequence);
    int blocks = (rows + BLOCK - 1) / BLOCK;
    long list = code.list(blocks, worker);
    for (int i = 0; i < blocks; i++) {
      long page = cache.page(i * BLOCK, layer).address() + 4 * keyColumn * BLOCK;
      NativeAttention.setBlock(
          list, i, page + 4 * pool.keyOffset(layer), page + 4 * pool.valueOffset(layer));
    }
    code.backward(
        q + 4 * (row * qStride + column),
        qStride,
        dOut + 4 * (row * dOutStride + column),
        dOutStride,
        rows,
        headDim,
        group,
        scale,
        list,
        BLOCK,
        dq + 4 * (row * dqStride + column),
        dqStride,
        dk + 4 * (row * dkStride + keyColumn),
        dkStride,
        dv + 4 * (row * dvStride + keyColumn),
        dvStride,
        worker);
  }

  @Override
  public void close() {
    if (nativeCode != null) {
      nativeCode.close();
    }
  }

  private static int roundUp(int rows, int multiple) {
    return (rows + multiple - 1) / multiple * multiple;
  }

  /** One thread's buffers, and the state of the item that it works on. */
  private final class Work {
    private final Panels panels = new Panels();
    private final Panels columnPanels = new Panels();
    private final Buffer keyBuffer = new Buffer(0);
    private final Buffer valueBuffer = new Buffer(0);
    private final Buffer transposedBuffer = new Buffer(0);
    private final Buffer queryBuffer = new Buffer(0);
    private final Buffer scoreBuffer = new Buffer(0);
    private final Buffer slopeBuffer = new Buffer(0);
    private final Buffer rowBuffer = new Buffer(0);
    private final Buffer stateBuffer = new Buffer(0);
    private final Buffer keySumBuffer = new Buffer(0);
    private final Buffer valueSumBuffer = new Buffer(0);

    /** Rows of the sequence, and the first of them in the batch. */
    private int count;

    private long firstMatrixRow;

    /** Rounded up to what {@link Kernels#tile} takes at once. */
    private int paddedCount;

    private int paddedDim;

    /** Rounded up to whole vectors. */
    private int laneDim;

    private float[] keys = {};
    private float[] values = {};
    private float[] transposedKeys = {};
    private float[] scores = {};
    private float[] slopes = {};
    private float[] keySums = {};
    private float[] valueSums = {};

    void run(int sequence, int kvHead) {
      count = batch.rows(sequence);
      firstMatrixRow = batch.start(sequence);
      paddedCount = roundUp(count, Kernels.TILE_ROWS);
      paddedDim = roundUp(headDim, Kernels.TILE_ROWS);
      laneDim = roundUp(headDim, kernels.lanes());
      panels.divide(count, kernels.lanes(), kernels.maxVectors());
      columnPanels.divide(headDim, kernels.lanes(), kernels.maxVectors());
      load(batch.cache(sequence), kvHead);
      int group = heads / kvHeads;
      for (int head = kvHead * group; head < (kvHead + 1) * group; head++) {
        for (int p = 0; p < panels.count(); p++) {
          panel(p, head);
        }
      }
      storeSums(kvHead);
    }

    /** Keys and values as rows [count, padded][headDim], and keys as columns [headDim][count]. */
    private void load(KvCache cache, int kvHead) {
      int size = paddedCount * headDim;
      keys = keyBuffer.floats(size);
      values = valueBuffer.floats(size);
      transposedKeys = transposedBuffer.floats((long) paddedDim * count);
      keySums = keySumBuffer.floats((long) paddedCount * laneDim);
      valueSums = valueSumBuffer.floats((long) paddedCount * laneDim);
      Arrays.fill(keySums, Buffer.START, Buffer.START + paddedCount * laneDim, 0);
      Arrays.fill(valueSums, Buffer.START, Buffer.START + paddedCount * laneDim, 0);
      KvCache.Pool pool = cache.pool();
      DType type = pool.dtype();
      for (int j = 0; j < count; j += BLOCK) {
        int rows = Math.min(BLOCK, count - j);
        long page = cache.page(j, layer).address();
        long head = (long) kvHead * BLOCK * headDim;
        int at = Buffer.START + j * headDim;
        long keysAt = page + (pool.keyOffset(layer) + head) * type.bytes();
        long valuesAt = page + (pool.valueOffset(layer) + head) * type.bytes();
        kernels.toFloats(type, keysAt, keys, at, rows * headDim);
        kernels.toFloats(type, valuesAt, values, at, rows * headDim);
      }
      Arrays.fill(keys, Buffer.START + count * headDim, Buffer.START + size, 0);
      Arrays.fill(values, Buffer.START + count * headDim, Buffer.START + size, 0);
      Arrays.fill(
          transposedKeys, Buffer.START + headDim * count, Buffer.START + paddedDim * count, 0);
      for (int j = 0; j < count; j++) {
        for (int d = 0; d < headDim; d++) {
          transposedKeys[Buffer.START + d * count + j] = keys[Buffer.START + j * headDim + d];
        }
      }
    }

    /** What one panel of a query head adds. */
    private void panel(int p, int head) {
      int vectors = panels.vectors(p);
      int width = vectors * kernels.lanes();
      int firstRow = panels.firstRow(p);
      int rows = Math.min(width, count - firstRow);
      int seen = firstRow + rows;
      int padded = roundUp(seen, Kernels.TILE_ROWS);
      long column = (long) head * headDim;
      long matrixRow = firstMatrixRow + firstRow;
      long queriesAt = q + 4 * (matrixRow * qStride + column);
      long slopesAt = dOut + 4 * (matrixRow * dOutStride + column);
      probabilities(vectors, queriesAt, rows, firstRow, seen, padded);

      slopes = slopeBuffer.floats((long) padded * width);
      float[] columns = packed(slopesAt, dOutStride, rows, width);
      for (int j = 0; j < padded; j += Kernels.TILE_ROWS) {
        int from = Buffer.START + j * headDim;
        int to = Buffer.START + j * width;
        kernels.tile(
            vectors, columns, Buffer.START, values, from, headDim, headDim, slopes, to, false);
      }
      gradients.softmaxColumns(scores, Buffer.START, slopes, Buffer.START, seen, width);

      addProducts(scores, width, padded, slopesAt, dOutStride, rows, 1, valueSums);
      addProducts(slopes, width, padded, queriesAt, qStride, rows, scale, keySums);
      storeQueries(vectors, rows, seen, dq + 4 * (matrixRow * dqStride + column));
    }

    /** Rows of [rows, headDim] as columns [headDim][width], zeros behind them. */
    private float[] packed(long from, long stride, int rows, int width) {
      float[] columns = queryBuffer.floats((long) headDim * width);
      if (rows < width) {
        Arrays.fill(columns, Buffer.START, Buffer.START + headDim * width, 0);
      }
      kernels.pack(from, stride, rows, headDim, columns, Buffer.START, width);
      return columns;
    }

    /** scores [padded][width] = the softmax over keys 0 to {@code seen}, down each column. */
    private void probabilities(
        int vectors, long queriesAt, int rows, int firstRow, int seen, int padded) {
      int width = vectors * kernels.lanes();
      float[] columns = packed(queriesAt, qStride, rows, width);
      kernels.scale(columns, Buffer.START, headDim * width, scale);
      scores = scoreBuffer.floats((long) padded * width);
      for (int j = 0; j < padded; j += Kernels.TILE_ROWS) {
        int from = Buffer.START + j * headDim;
        int to = Buffer.START + j * width;
        kernels.tile(
            vectors, columns, Buffer.START, keys, from, headDim, headDim, scores, to, false);
      }
      for (int j = firstRow + 1; j < seen; j++) {
        int row = Buffer.START + j * width;
        Arrays.fill(scores, row, row + j - firstRow, Float.NEGATIVE_INFINITY);
      }
      float[] state = stateBuffer.floats(3L * width);
      int at = Buffer.START;
      Arrays.fill(state, at, at + width, Float.NEGATIVE_INFINITY);
      Arrays.fill(state, at + width, at + 2 * width, 0);
      kernels.softmaxColumns(scores, at, seen, width, state, at);
      for (int c = 0; c < width; c++) {
        state[at + 2 * width + c] = 1 / state[at + width + c];
      }
      kernels.scaleColumns(scores, at, seen, width, state, at + 2 * width);
      Arrays.fill(scores, at + seen * width, at + padded * width, 0);
    }

    /**
     * sums[j][d] += factor · Σ_c weights[j][c] · x[c][d] for j &lt; padded, over the panel's rows.
     */
    private void addProducts(
        float[] weights,
        int width,
        int padded,
        long x,
        long xStride,
        int rows,
        float factor,
        float[] sums) {
      int lanes = kernels.lanes();
      for (int part = 0; part < columnPanels.count(); part++) {
        int vectors = columnPanels.vectors(part);
        int columns = vectors * lanes;
        int first = columnPanels.firstRow(part);
        int used = Math.min(columns, headDim - first);
        float[] block = rowBuffer.floats((long) rows * columns);
        if (used < columns) {
          Arrays.fill(block, Buffer.START, Buffer.START + rows * columns, 0);
        }
        for (int c = 0; c < rows; c++) {
          long from = x + 4 * (c * xStride + first);
          kernels.toFloats(DType.F32, from, block, Buffer.START + c * columns, used);
        }
        if (factor != 1) {
          kernels.scale(block, Buffer.START, rows * columns, factor);
        }
        int base = Buffer.START + first * paddedCount;
        for (int j = 0; j < padded; j += Kernels.TILE_ROWS) {
          int from = Buffer.START + j * width;
          int to = base + j * columns;
          kernels.tile(vectors, block, Buffer.START, weights, from, width, rows, sums, to, true);
        }
      }
    }

    /** Gradients of the panel's queries: scale · dS · K. */
    private void storeQueries(int vectors, int rows, int seen, long to) {
      int width = vectors * kernels.lanes();
      float[] result = queryBuffer.floats((long) paddedDim * width);
      for (int d = 0; d < paddedDim; d += Kernels.TILE_ROWS) {
        int from = Buffer.START + d * count;
        int acc = Buffer.START + d * width;
        kernels.tile(
            vectors, slopes, Buffer.START, transposedKeys, from, count, seen, result, acc, false);
      }
      kernels.scale(result, Buffer.START, headDim * width, scale);
      kernels.unpack(
          result, Buffer.START, width, /* rows= */ headDim, /* columns= */ rows, to, dqStride);
    }

    private void storeSums(int kvHead) {
      for (int part = 0; part < columnPanels.count(); part++) {
        int columns = columnPanels.vectors(part) * kernels.lanes();
        int first = columnPanels.firstRow(part);
        int used = Math.min(columns, headDim - first);
        int base = Buffer.START + first * paddedCount;
        long column = (long) kvHead * headDim + first;
        for (int j = 0; j < count; j++) {
          long row = firstMatrixRow + j;
          int at = base + j * columns;
          kernels.fromFloats(DType.F32, keySums, at, dk + 4 * (row * dkStride + column), used);
          kernels.fromFloats(DType.F32, valueSums, at, dv + 4 * (row * dvStride + column), used);
        }
      }
    }
  }
}
