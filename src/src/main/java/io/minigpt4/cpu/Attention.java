package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * softmax(scale · q kᵀ) v without ever holding all scores: panels of queries meet blocks of {@link
 * #BLOCK} keys, and an online softmax (Dao et al. 2022) keeps running maxima and sums. Queries lie
 * along the lanes, so that the same tile kernel as in {@link TiledLinear} computes scores and
 * weighted values, and the softmax needs no horizontal steps. Where there is native code it does
 * all that, with keys along the lanes.
 *
 * <p>Sequences with one new row (decoding) go another way if the cache holds floats, or half as
 * long numbers and there is native code: all query heads of one key head share the pass over its
 * keys, which are not copied. As blocks of keys begin at the same positions always, and what is
 * hidden from a row adds zeros, either way a row's result is the same to the last bit whatever the
 * rows beside it.
 */
final class Attention implements Team.Task, AutoCloseable {
  /** Keys per step; equals the page size, so that a block never spans two pages. */
  private static final int BLOCK = KvCache.Pool.PAGE;

  /** The most keys per step where they are not in pages. */
  private static final int MOST_KEYS = 96;

  /** The same for native code, which keeps them in the second-level cache. */
  private static final int MOST_NATIVE_KEYS = 512;

  /** Rows of queries that native code takes at least, if there are as many. */
  private static final int NATIVE_ROWS = 64;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 16;

  private final Kernels kernels;
  private final Team team;
  private final @Nullable NativeAttention nativeCode;
  private final Panels[] panelsOfWorker;
  private final Buffer[] buffers;

  /** Per worker a block of keys and one of values as floats, or sums of a row against a block. */
  private final Buffer[] blocks;

  private long q;
  private long qStride;
  private long out;
  private long outStride;
  private int heads;
  private int kvHeads;
  private int headDim;
  private float scale;
  private DType type = DType.F32;

  // Full attention.
  private long k;
  private long kStride;
  private long v;
  private long vStride;
  private int queries;
  private int keys;

  /** Keys per step. */
  private int step;

  // Causal attention over a batch's caches; null for full attention.
  private @Nullable Batch batch;
  private int layer;

  private int sequences;

  /** First work item of each sequence, and their number at the end. */
  private int[] firstItem = new int[2];

  /** Consecutive panels, or stretches of rows, of one head that are one item. */
  private int unitsPerItem;

  Attention(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    CpuLibrary library = kernels.library();
    this.nativeCode = library == null ? null : new NativeAttention(library, team);
    this.buffers = Buffer.array(team.size(), 0);
    this.blocks = Buffer.array(team.size(), 0);
    this.panelsOfWorker = new Panels[team.size()];
    Arrays.setAll(panelsOfWorker, i -> new Panels());
  }

  /** Sets queries and result, both [rows, heads · headDim] with a row stride. */
  void queries(
      long qAddress, long qRows, int headCount, int headWidth, long outAddress, long outRows) {
    q = qAddress;
    qStride = qRows;
    heads = headCount;
    headDim = headWidth;
    out = outAddress;
    outStride = outRows;
  }

  /** Full attention within each of {@code items} batch items; {@link #queries} first. */
  void full(
      long kAddress,
      long kRows,
      long vAddress,
      long vRows,
      int items,
      int queriesEach,
      int keysEach,
      float factor) {
    batch = null;
    type = DType.F32;
    k = kAddress;
    kStride = kRows;
    v = vAddress;
    vStride = vRows;
    kvHeads = heads;
    queries = queriesEach;
    keys = keysEach;
    step = evenStep(keysEach);
    scale = factor;
    sequences = items;
    launch((long) items * queriesEach * keysEach);
  }

  /** Causal attention over the caches; {@link #queries} first. */
  void causal(Batch rows, int layerIndex) {
    KvCache.Pool pool = rows.cache(0).pool();
    batch = rows;
    layer = layerIndex;
    step = BLOCK;
    type = pool.dtype();
    kvHeads = pool.kvHeads();
    scale = (float) (1 / Math.sqrt(headDim));
    sequences = rows.size();
    long scores = 0;
    for (int i = 0; i < sequences; i++) {
      scores += (long) rows.rows(i) * (rows.past(i) + rows.rows(i));
    }
    launch(scores);
    batch = null;
  }

  /** Divides keys evenly: a last step of a few would cost nearly as much as a whole one. */
  private int evenStep(int keyCount) {
    int most = nativeCode == null ? MOST_KEYS : MOST_NATIVE_KEYS;
    int steps = Math.max(1, (keyCount + most - 1) / most);
    return roundUp((keyCount + steps - 1) / steps);
  }

  private int rowsOf(int sequence) {
    Batch rows = batch;
    return rows == null ? queries : rows.rows(sequence);
  }

  /** Whether a sequence's keys and values are read where they lie, row by row. */
  private boolean byRows(int sequence) {
    return batch != null && (type == DType.F32 || forType() != null) && rowsOf(sequence) == 1;
  }

  /** The native code, if it takes the type of keys that is set. */
  private @Nullable NativeAttention forType() {
    return type == DType.F32 || type == DType.F16 ? nativeCode : null;
  }

  /** Parts of a head's rows that cannot be divided: panels, or stretches for native code. */
  private int units(int rows) {
    if (forType() != null) {
      return (rows + NATIVE_ROWS - 1) / NATIVE_ROWS;
    }
    Panels panels = panelsOfWorker[0];
    panels.divide(rows, kernels.lanes(), kernels.maxVectors());
    return panels.count();
  }

  /** Shares the work out: one head, or some units of one where heads are scarce. */
  private void launch(long scores) {
    int most = 0;
    int items = 0;
    for (int i = 0; i < sequences; i++) {
      most = Math.max(most, units(rowsOf(i)));
      items += heads;
    }
    int wanted = Math.min(most, (4 * team.size() + items - 1) / items);
    unitsPerItem = (most + wanted - 1) / wanted;
    if (firstItem.length <= sequences) {
      firstItem = new int[2 * sequences + 1];
    }
    for (int i = 0; i < sequences; i++) {
      int parts = (units(rowsOf(i)) + unitsPerItem - 1) / unitsPerItem;
      int each = byRows(i) ? kvHeads : heads * parts;
      firstItem[i + 1] = firstItem[i] + each;
    }
    int count = firstItem[sequences];
    if (scores * heads * headDim < SERIAL_WORK) {
      for (int i = 0; i < count; i++) {
        run(i, 0);
      }
    } else {
      team.run(this, count);
    }
  }

  @Override
  public void run(int item, int worker) {
    int sequence = 0;
    while (firstItem[sequence + 1] <= item) {
      sequence++;
    }
    int within = item - firstItem[sequence];
    Batch rows = batch;
    NativeAttention code = forType();
    if (rows != null && byRows(sequence)) {
      attendRow(rows, sequence, within, worker);
    } else if (code != null) {
      attendNatively(code, sequence, within % heads, within / heads, worker);
    } else {
      attendPanels(sequence, within % heads, within / heads, worker);
    }
  }

  /** A sequence's only row, all query heads of one key head. */
  private void attendRow(Batch rows, int sequence, int kvHead, int worker) {
    KvCache cache = rows.cache(sequence);
    int length = cache.length() + 1;
    int group = heads / kvHeads;
    int dims = group * headDim;
    NativeAttention code = nativeCode;
    if (code != null) {
      code.row(
          type,
          q + 4 * (rows.start(sequence) * qStride + (long) kvHead * dims),
          headDim,
          group,
          scale,
          pages(code, cache, length, kvHead, worker),
          BLOCK,
          length,
          out + 4 * (rows.start(sequence) * outStride + (long) kvHead * dims),
          worker);
      return;
    }
    int padded = (length + 15) / 16 * 16;
    float[] buffer = buffers[worker].floats(2L * dims + (long) group * padded);
    float[] scratch = blocks[worker].floats(16L * (BLOCK + 15));
    int queryAt = Buffer.START;
    int resultAt = queryAt + dims;
    int scoresAt = resultAt + dims;
    long matrixRow = rows.start(sequence);
    long firstHead = q + 4 * (matrixRow * qStride + (long) kvHead * dims);
    kernels.toFloats(DType.F32, firstHead, buffer, queryAt, dims);
    kernels.scale(buffer, queryAt, dims, scale);
    Arrays.fill(buffer, resultAt, resultAt + dims, 0);
    for (int j = 0; j < length; j += BLOCK) {
      int count = Math.min(BLOCK, length - j);
      long block = keyBlock(cache, j, kvHead);
      for (int g = 0; g < group; g++) {
        int at = scoresAt + g * padded + j;
        int queryHead = queryAt + g * headDim;
        kernels.rowDots(buffer, queryHead, block, count, headDim, buffer, at, scratch);
      }
    }
    for (int g = 0; g < group; g++) {
      kernels.softmax(buffer, scoresAt + g * padded, length);
    }
    for (int j = 0; j < length; j += BLOCK) {
      int count = Math.min(BLOCK, length - j);
      long block = valueBlock(cache, j, kvHead);
      for (int g = 0; g < group; g++) {
        int at = scoresAt + g * padded + j;
        kernels.addWeightedRows(buffer, at, block, count, headDim, buffer, resultAt + g * headDim);
      }
    }
    kernels.fromFloats(
        DType.F32,
        buffer,
        resultAt,
        out + 4 * (matrixRow * outStride + (long) kvHead * dims),
        dims);
  }

  /** The list of blocks of a head's first {@code length} keys in a cache. */
  private long pages(NativeAttention code, KvCache cache, int length, int kvHead, int worker) {
    int count = (length + BLOCK - 1) / BLOCK;
    long list = code.list(count, worker);
    for (int i = 0; i < count; i++) {
      NativeAttention.setBlock(
          list, i, keyBlock(cache, i * BLOCK, kvHead), valueBlock(cache, i * BLOCK, kvHead));
    }
    return list;
  }

  /** The list of blocks of a head's keys in full attention. */
  private long rowBlocks(NativeAttention code, int item, long column, int worker) {
    int count = (keys + step - 1) / step;
    long list = code.list(count, worker);
    for (int i = 0; i < count; i++) {
      long row = (long) item * keys + (long) i * step;
      NativeAttention.setBlock(
          list, i, k + 4 * (row * kStride + column), v + 4 * (row * vStride + column));
    }
    return list;
  }

  private long keyBlock(KvCache cache, int position, int kvHead) {
    long offset = cache.pool().keyOffset(layer) + (long) kvHead * BLOCK * headDim;
    return cache.page(position, layer).address() + offset * type.bytes();
  }

  private long valueBlock(KvCache cache, int position, int kvHead) {
    long offset = cache.pool().valueOffset(layer) + (long) kvHead * BLOCK * headDim;
    return cache.page(position, layer).address() + offset * type.bytes();
  }

  /**
   * Some rows of one head.
   *
   * @param part which of the head's groups of rows; the last, which see most keys, come first
   */
  private void attendNatively(NativeAttention code, int sequence, int head, int part, int worker) {
    int count = rowsOf(sequence);
    int rowsPerItem = unitsPerItem * NATIVE_ROWS;
    int parts = (count + rowsPerItem - 1) / rowsPerItem;
    int first = (parts - 1 - part) * rowsPerItem;
    int rowCount = Math.min(count - first, rowsPerItem);
    Batch rows = batch;
    KvCache cache = rows == null ? null : rows.cache(sequence);
    long matrixRow = (rows == null ? (long) sequence * queries : rows.start(sequence)) + first;
    long column = (long) head * headDim;
    int kvHead = (int) ((long) head * kvHeads / heads);
    int past = cache == null ? keys : cache.length() + first;
    code.forward(
        type,
        q + 4 * (matrixRow * qStride + column),
        qStride,
        rowCount,
        headDim,
        scale,
        cache == null
            ? rowBlocks(code, sequence, column, worker)
            : pages(code, cache, past + rowCount, kvHead, worker),
        cache == null ? kStride : headDim,
        cache == null ? vStride : headDim,
        step,
        cache == null ? keys : past + rowCount,
        past,
        out + 4 * (matrixRow * outStride + column),
        outStride,
        worker);
  }

  /**
   * Some panels of one head. Per panel there are queries [headDim][width], results [headDim][width]
   * and the state of the online softmax [3][width]; scores [step][width] are shared.
   *
   * @param part which of the head's groups of panels; the last, which see most keys, come first
   */
  private void attendPanels(int sequence, int head, int part, int worker) {
    Panels panels = panelsOfWorker[worker];
    int lanes = kernels.lanes();
    int count = rowsOf(sequence);
    panels.divide(count, lanes, kernels.maxVectors());
    int parts = (panels.count() + unitsPerItem - 1) / unitsPerItem;
    int first = (parts - 1 - part) * unitsPerItem;
    int last = Math.min(panels.count(), first + unitsPerItem) - 1;
    int lanesInAll = (panels.firstVector(last + 1) - panels.firstVector(first)) * lanes;
    int perLane = headDim + roundUp(headDim) + 3;
    int scoresAt = Buffer.START + perLane * lanesInAll;
    float[] buffer =
        buffers[worker].floats(
            (long) perLane * lanesInAll + (long) step * kernels.maxVectors() * lanes);
    float[] block = blocks[worker].floats(2L * step * roundUp(headDim));
    Batch rows = batch;
    KvCache cache = rows == null ? null : rows.cache(sequence);
    int past = cache == null ? 0 : cache.length();
    long matrixRow = rows == null ? (long) sequence * queries : rows.start(sequence);

    for (int p = first; p <= last; p++) {
      int at = Buffer.START + perLane * (panels.firstRow(p) - panels.firstRow(first));
      packQueries(panels, p, matrixRow, head, count, buffer, at);
    }
    int end = Math.min(count, panels.firstRow(last + 1));
    int total = cache == null ? keys : past + end;
    for (int j = 0; j < total; j += step) {
      int size = Math.min(step, total - j);
      if (cache == null) {
        long row = (long) sequence * keys + j;
        long column = (long) head * headDim;
        loadKeys(k + 4 * (row * kStride + column), kStride, size, block);
        loadValues(v + 4 * (row * vStride + column), vStride, size, block, buffer, scoresAt);
      } else {
        int kvHead = (int) ((long) head * kvHeads / heads);
        loadKeys(keyBlock(cache, j, kvHead), headDim, size, block);
        loadValues(valueBlock(cache, j, kvHead), headDim, size, block, buffer, scoresAt);
      }
      for (int p = first; p <= last; p++) {
        int at = Buffer.START + perLane * (panels.firstRow(p) - panels.firstRow(first));
        int firstQuery = cache == null ? keys : past + panels.firstRow(p);
        if (j < firstQuery + panels.vectors(p) * lanes) {
          attendBlock(panels.vectors(p), buffer, at, scoresAt, block, j, size, firstQuery);
        }
      }
    }
    for (int p = first; p <= last; p++) {
      int at = Buffer.START + perLane * (panels.firstRow(p) - panels.firstRow(first));
      finish(panels, p, matrixRow, head, count, buffer, at);
    }
  }

  private static int roundUp(int rows) {
    return (rows + Kernels.TILE_ROWS - 1) / Kernels.TILE_ROWS * Kernels.TILE_ROWS;
  }

  private void packQueries(
      Panels panels, int p, long matrixRow, int head, int count, float[] buffer, int at) {
    int width = panels.vectors(p) * kernels.lanes();
    int rows = Math.min(width, count - panels.firstRow(p));
    if (rows < width) {
      Arrays.fill(buffer, at, at + headDim * width, 0);
    }
    long from = q + 4 * ((matrixRow + panels.firstRow(p)) * qStride + (long) head * headDim);
    kernels.pack(from, qStride, rows, headDim, buffer, at, width);
    kernels.scale(buffer, at, headDim * width, scale);
    int state = at + (headDim + roundUp(headDim)) * width;
    Arrays.fill(buffer, state, state + width, Float.NEGATIVE_INFINITY);
    Arrays.fill(buffer, state + width, state + 2 * width, 0);
  }

  /** Keys as [size, rounded up][headDim] at the front of {@code block}. */
  private void loadKeys(long from, long stride, int size, float[] block) {
    if (stride == headDim) {
      kernels.toFloats(type, from, block, 0, size * headDim);
    } else {
      for (int j = 0; j < size; j++) {
        kernels.toFloats(type, from + j * stride * type.bytes(), block, j * headDim, headDim);
      }
    }
    Arrays.fill(block, size * headDim, roundUp(size) * headDim, 0);
  }

  /** Values as [headDim, rounded up][step] behind the keys; {@code scratch} may be overwritten. */
  private void loadValues(
      long from, long stride, int size, float[] block, float[] scratch, int scratchAt) {
    int at = step * headDim;
    if (type == DType.F32) {
      kernels.pack(from, stride, size, headDim, block, at, step);
    } else {
      for (int j = 0; j < size; j++) {
        kernels.toFloats(type, from + j * stride * type.bytes(), scratch, scratchAt, headDim);
        for (int d = 0; d < headDim; d++) {
          block[at + d * step + j] = scratch[scratchAt + d];
        }
      }
    }
    Arrays.fill(block, at + headDim * step, at + roundUp(headDim) * step, 0);
  }

  /** One panel meets one block of keys and values, {@code firstKey} being the first's position. */
  private void attendBlock(
      int vectors,
      float[] buffer,
      int at,
      int scoresAt,
      float[] block,
      int firstKey,
      int size,
      int firstQuery) {
    int width = vectors * kernels.lanes();
    int resultAt = at + headDim * width;
    int state = resultAt + roundUp(headDim) * width;
    for (int j = 0; j < size; j += Kernels.TILE_ROWS) {
      int acc = scoresAt + j * width;
      kernels.tile(vectors, buffer, at, block, j * headDim, headDim, headDim, buffer, acc, false);
    }
    // Hide keys that lie after a query's own position.
    for (int j = Math.max(0, firstQuery - firstKey + 1); j < size; j++) {
      int row = scoresAt + j * width;
      int hidden = Math.min(width, firstKey + j - firstQuery);
      Arrays.fill(buffer, row, row + hidden, Float.NEGATIVE_INFINITY);
    }
    kernels.softmaxColumns(buffer, scoresAt, size, width, buffer, state);
    boolean add = firstKey > 0;
    if (add) {
      kernels.scaleColumns(buffer, resultAt, headDim, width, buffer, state + 2 * width);
    }
    for (int d = 0; d < headDim; d += Kernels.TILE_ROWS) {
      int values = (headDim + d) * step;
      int acc = resultAt + d * width;
      kernels.tile(vectors, buffer, scoresAt, block, values, step, size, buffer, acc, add);
    }
  }

  private void finish(
      Panels panels, int p, long matrixRow, int head, int count, float[] buffer, int at) {
    int width = panels.vectors(p) * kernels.lanes();
    int resultAt = at + headDim * width;
    int state = resultAt + roundUp(headDim) * width;
    for (int c = 0; c < width; c++) {
      buffer[state + 2 * width + c] = 1 / buffer[state + width + c];
    }
    kernels.scaleColumns(buffer, resultAt, headDim, width, buffer, state + 2 * width);
    int firstRow = panels.firstRow(p);
    int rows = Math.min(width, count - firstRow);
    long to = out + 4 * ((matrixRow + firstRow) * outStride + (long) head * headDim);
    kernels.unpack(
        buffer, resultAt, width, /* rows= */ headDim, /* columns= */ rows, to, outStride);
  }

  @Override
  public void close() {
    if (nativeCode != null) {
      nativeCode.close();
    }
  }
}
