package io.minigpt4.cpu;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * softmax(scale · q kᵀ) v without ever holding all scores: panels of queries meet blocks of {@link
 * #BLOCK} keys, and an online softmax (Dao et al. 2022) keeps running maxima and sums. Queries lie
 * along the lanes, so that the same tile kernel as in {@link Linear} computes scores and weighted
 * values, and the softmax needs no horizontal steps.
 *
 * <p>Sequences with only a few new rows (decoding) take {@link Kernels#dots} instead, where all
 * query heads of one key head share the pass over its keys.
 */
final class Attention implements Team.Task, AutoCloseable {
  /** Keys per step; equals the page size, so that a block never spans two pages. */
  private static final int BLOCK = KvCache.Pool.PAGE;

  /** Sequences with fewer new rows than this go row by row. */
  private static final int PANEL_ROWS = 4;

  /** Multiplications below which waking other threads costs more than it brings. */
  private static final long SERIAL_WORK = 1 << 16;

  private final Kernels kernels;
  private final Team team;
  private final Panels[] panelsOfWorker;
  private final Scratch[] scratch;

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

  // Causal attention over a batch's caches; null for full attention.
  private @Nullable Batch batch;
  private int layer;

  /** First work item of each sequence, and their number at the end. */
  private int[] firstItem = new int[2];

  private int sequences;
  private boolean serial;

  Attention(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.scratch = Scratch.array(team.size());
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
    scale = factor;
    sequences = items;
    ensureItems(items);
    serial = (long) items * queriesEach * keysEach * heads * headDim < SERIAL_WORK;
    Panels panels = panelsOfWorker[0];
    panels.divide(queriesEach, kernels.lanes(), kernels.maxVectors());
    int each = heads * panels.count();
    for (int i = 0; i <= items; i++) {
      firstItem[i] = i * each;
    }
    launch();
  }

  /** Causal attention over the caches; {@link #queries} first. */
  void causal(Batch rows, int layerIndex) {
    KvCache.Pool pool = rows.cache(0).pool();
    batch = rows;
    layer = layerIndex;
    type = pool.dtype();
    kvHeads = pool.kvHeads();
    scale = (float) (1 / Math.sqrt(headDim));
    sequences = rows.size();
    ensureItems(sequences);
    long work = 0;
    Panels panels = panelsOfWorker[0];
    for (int i = 0; i < sequences; i++) {
      int count = rows.rows(i);
      int items;
      if (count < PANEL_ROWS) {
        items = count * kvHeads;
      } else {
        panels.divide(count, kernels.lanes(), kernels.maxVectors());
        items = heads * panels.count();
      }
      firstItem[i + 1] = firstItem[i] + items;
      work += (long) count * (rows.past(i) + count) * heads * headDim;
    }
    serial = work < SERIAL_WORK;
    launch();
    batch = null;
  }

  private void ensureItems(int count) {
    if (firstItem.length <= count) {
      firstItem = new int[2 * count + 1];
    }
  }

  private void launch() {
    int items = firstItem[sequences];
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
    int sequence = 0;
    while (firstItem[sequence + 1] <= item) {
      sequence++;
    }
    int within = item - firstItem[sequence];
    Batch rows = batch;
    if (rows == null) {
      attendPanel(sequence, within, queries, (long) sequence * queries, 0, null, worker);
    } else if (rows.rows(sequence) < PANEL_ROWS) {
      attendRow(rows, sequence, within / kvHeads, within % kvHeads, worker);
    } else {
      KvCache cache = rows.cache(sequence);
      int count = rows.rows(sequence);
      attendPanel(sequence, within, count, rows.start(sequence), cache.length(), cache, worker);
    }
  }

  /** One row, all query heads of one key head. */
  private void attendRow(Batch rows, int sequence, int row, int kvHead, int worker) {
    KvCache cache = rows.cache(sequence);
    int length = cache.length() + row + 1;
    int group = heads / kvHeads;
    long stride = (length + 15L) & ~15;
    long scores = scratch[worker].floats(group * stride);
    long matrixRow = (long) rows.start(sequence) + row;
    long queryHeads = q + 4 * (matrixRow * qStride + (long) kvHead * group * headDim);
    for (int j = 0; j < length; j += BLOCK) {
      int count = Math.min(BLOCK, length - j);
      long block = keyBlock(cache, j, kvHead);
      kernels.dots(
          type,
          queryHeads,
          headDim,
          group,
          block,
          headDim,
          count,
          headDim,
          scores + 4L * j,
          stride);
    }
    long result = out + 4 * (matrixRow * outStride + (long) kvHead * group * headDim);
    Memory.fill(result, (long) group * headDim, 0);
    for (int g = 0; g < group; g++) {
      kernels.scale(scores + 4L * g * stride, length, scale);
      kernels.softmax(scores + 4L * g * stride, length);
    }
    for (int j = 0; j < length; j += BLOCK) {
      int count = Math.min(BLOCK, length - j);
      long block = valueBlock(cache, j, kvHead);
      for (int g = 0; g < group; g++) {
        long weights = scores + 4 * (g * stride + j);
        long to = result + 4L * g * headDim;
        kernels.addWeightedRows(type, weights, count, block, headDim, headDim, to);
      }
    }
  }

  private long keyBlock(KvCache cache, int position, int kvHead) {
    long offset = cache.pool().keyOffset(layer) + (long) kvHead * BLOCK * headDim;
    return cache.page(position).address() + offset * type.bytes();
  }

  private long valueBlock(KvCache cache, int position, int kvHead) {
    long offset = cache.pool().valueOffset(layer) + (long) kvHead * BLOCK * headDim;
    return cache.page(position).address() + offset * type.bytes();
  }

  /**
   * One panel of queries of one head.
   *
   * @param within head · panels + panel; the last panels, which see most keys, come first
   * @param count queries of this sequence or batch item
   * @param firstRow matrix row of the first of them
   * @param past position of the first of them
   * @param cache keys and values, or null for full attention
   */
  private void attendPanel(
      int sequence,
      int within,
      int count,
      long firstRow,
      int past,
      @Nullable KvCache cache,
      int worker) {
    Panels panels = panelsOfWorker[worker];
    int lanes = kernels.lanes();
    panels.divide(count, lanes, kernels.maxVectors());
    int head = within % heads;
    int p = panels.count() - 1 - within / heads;
    int vectors = panels.vectors(p);
    int width = vectors * lanes;
    int first = panels.firstRow(p);
    int rows = Math.min(width, count - first);
    int paddedDim = headDim + 3 & ~3;

    long queryPanel = scratch[worker].floats(panelFloats(width, paddedDim));
    long scores = queryPanel + 4L * headDim * width;
    long result = scores + 4L * BLOCK * width;
    long max = result + 4L * paddedDim * width;
    long sum = max + 4L * width;
    long factor = sum + 4L * width;
    long copies = factor + 4L * width;

    packQueries(queryPanel, width, rows, firstRow + first, head);
    Memory.fill(max, width, Float.NEGATIVE_INFINITY);
    Memory.fill(sum, width, 0);
    int kvHead = (int) ((long) head * kvHeads / heads);
    int total = cache == null ? keys : past + first + rows;
    for (int j = 0; j < total; j += BLOCK) {
      int size = Math.min(BLOCK, total - j);
      long keyBlock;
      long valueBlock;
      long keyRows = headDim;
      long valueRows = headDim;
      if (cache == null) {
        long row = (long) sequence * keys + j;
        keyRows = kStride;
        valueRows = vStride;
        keyBlock = k + 4 * (row * kStride + (long) head * headDim);
        valueBlock = v + 4 * (row * vStride + (long) head * headDim);
      } else {
        keyBlock = keyBlock(cache, j, kvHead);
        valueBlock = valueBlock(cache, j, kvHead);
      }
      scoreBlock(vectors, queryPanel, keyBlock, keyRows, size, scores, copies);
      if (cache != null) {
        mask(scores, width, j, size, past + first, rows);
      }
      kernels.softmaxColumns(scores, size, width, max, sum, factor);
      if (j > 0) {
        kernels.scaleColumns(result, headDim, width, factor);
      }
      addValues(vectors, scores, valueBlock, valueRows, size, result, j > 0, copies);
    }
    for (int c = 0; c < width; c++) {
      Memory.setFloat(factor + 4L * c, 1 / Memory.getFloat(sum + 4L * c));
    }
    kernels.scaleColumns(result, headDim, width, factor);
    long to = out + 4 * ((firstRow + first) * outStride + (long) head * headDim);
    kernels.transpose(result, width, to, outStride, headDim, rows);
  }

  private static long panelFloats(int width, int paddedDim) {
    return (2L * paddedDim + BLOCK + 3) * width + (long) BLOCK * paddedDim;
  }

  private void packQueries(long panel, int width, int rows, long matrixRow, int head) {
    if (rows < width) {
      Memory.fill(panel, (long) headDim * width, 0);
    }
    long from = q + 4 * (matrixRow * qStride + (long) head * headDim);
    kernels.transpose(from, qStride, panel, width, rows, headDim);
    kernels.scale(panel, headDim * width, scale);
  }

  /** scores[j][·] = key j · queries, for {@code size} keys. */
  private void scoreBlock(
      int vectors, long panel, long block, long stride, int size, long scores, long copies) {
    long from = block;
    long rows = stride;
    if (type != DType.F32 || size % Kernels.TILE_ROWS != 0) {
      for (int j = 0; j < size; j++) {
        long row = block + j * stride * type.bytes();
        kernels.toFloat(type, row, copies + 4L * j * headDim, headDim);
      }
      int missing = -size & 3;
      Memory.fill(copies + 4L * size * headDim, (long) missing * headDim, 0);
      from = copies;
      rows = headDim;
    }
    int width = vectors * kernels.lanes();
    for (int j = 0; j < size; j += Kernels.TILE_ROWS) {
      long acc = scores + 4L * j * width;
      kernels.tile(vectors, panel, from + 4L * j * rows, rows, 1, headDim, acc, false);
    }
  }

  /** Hides keys that lie after a query's own position. */
  private static void mask(
      long scores, int width, int firstKey, int size, int firstQuery, int rows) {
    for (int j = Math.max(0, firstQuery + 1 - firstKey); j < size; j++) {
      int hidden = Math.min(rows, firstKey + j - firstQuery);
      Memory.fill(scores + 4L * j * width, hidden, Float.NEGATIVE_INFINITY);
    }
  }

  /** result[d][·] (+)= Σ_j values[j][d] · weights[j][·]. */
  private void addValues(
      int vectors,
      long weights,
      long block,
      long stride,
      int size,
      long result,
      boolean add,
      long copies) {
    long from = block;
    long rows = stride;
    if (type != DType.F32 || headDim % Kernels.TILE_ROWS != 0) {
      int padded = headDim + 3 & ~3;
      for (int j = 0; j < size; j++) {
        long row = block + j * stride * type.bytes();
        long to = copies + 4L * j * padded;
        kernels.toFloat(type, row, to, headDim);
        Memory.fill(to + 4L * headDim, padded - headDim, 0);
      }
      from = copies;
      rows = padded;
    }
    int width = vectors * kernels.lanes();
    for (int d = 0; d < headDim; d += Kernels.TILE_ROWS) {
      long acc = result + 4L * d * width;
      kernels.tile(vectors, weights, from + 4L * d, 1, rows, size, acc, add);
    }
  }

  @Override
  public void close() {
    for (Scratch s : scratch) {
      s.close();
    }
  }
}
