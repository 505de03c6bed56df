package io.minigpt4.cpu;

import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import java.util.Arrays;

/**
 * Rotary position embedding (Su et al. 2021) in the rotate-half form, together with the append to
 * the cache. Cosines and sines are computed once per position and kept: the angle is rounded to
 * float32 before its cosine is taken, as the published implementation does.
 */
final class Rope implements Team.Task {
  /** Elements below which waking other threads costs more than it brings. */
  private static final int SERIAL_ELEMENTS = 1 << 13;

  private static final int FIRST_POSITIONS = 256;

  private final Kernels kernels;
  private final Team team;
  private final Buffer[] rowOfWorker;
  private float[] frequencies = {};

  /** [positions][half cosines, half sines]. */
  private float[] table = {};

  private int positions;

  private long q;
  private long qStride;
  private int heads;
  private long k;
  private long kStride;
  private long v;
  private long vStride;
  private int kvHeads;
  private int headDim;
  private int layer;
  private boolean backward;
  private Batch batch = new Batch(0);

  Rope(Kernels kernels, Team team) {
    this.kernels = kernels;
    this.team = team;
    this.rowOfWorker = Buffer.array(team.size(), 0);
  }

  /** Sets the queries [rows, heads · headDim], rotated in place. */
  void queries(long qAddress, long qRows, int headCount, int headWidth) {
    q = qAddress;
    qStride = qRows;
    heads = headCount;
    headDim = headWidth;
  }

  /** Sets keys and values [rows, kvHeads · headDim]; the keys are rotated in place. */
  void keysAndValues(long kAddress, long kRows, long vAddress, long vRows, int headCount) {
    k = kAddress;
    kStride = kRows;
    v = vAddress;
    vStride = vRows;
    kvHeads = headCount;
  }

  /** Rotates and appends; {@code inverseFrequencies} [headDim / 2]. */
  void run(Batch rows, int layerIndex, long inverseFrequencies) {
    backward = false;
    layer = layerIndex;
    run(rows, inverseFrequencies);
  }

  /**
   * Turns gradients of queries and keys back, in place; the values given to {@link #keysAndValues}
   * are not looked at.
   */
  void runBackward(Batch rows, long inverseFrequencies) {
    backward = true;
    run(rows, inverseFrequencies);
  }

  private void run(Batch rows, long inverseFrequencies) {
    batch = rows;
    int last = 0;
    for (int i = 0; i < rows.size(); i++) {
      last = Math.max(last, rows.past(i) + rows.rows(i));
    }
    prepare(inverseFrequencies, last);
    int items = rows.totalRows();
    if ((long) items * (heads + 2 * kvHeads) * headDim < SERIAL_ELEMENTS) {
      for (int i = 0; i < items; i++) {
        run(i, 0);
      }
    } else {
      team.run(this, items);
    }
  }

  /** Makes the table hold these frequencies up to position {@code length} (exclusive). */
  private void prepare(long inverseFrequencies, int length) {
    int half = headDim / 2;
    boolean same = frequencies.length == half;
    for (int i = 0; i < half && same; i++) {
      same = frequencies[i] == Memory.getFloat(inverseFrequencies + 4L * i);
    }
    if (same && length <= positions) {
      return;
    }
    frequencies = new float[half];
    for (int i = 0; i < half; i++) {
      frequencies[i] = Memory.getFloat(inverseFrequencies + 4L * i);
    }
    int from = same ? positions : 0;
    positions = Math.max(FIRST_POSITIONS, Math.max(length, same ? 2 * positions : 0));
    table = Arrays.copyOf(table, Math.multiplyExact(positions, headDim));
    for (int position = from; position < positions; position++) {
      int row = position * headDim;
      for (int i = 0; i < half; i++) {
        float angle = position * frequencies[i];
        table[row + i] = (float) Math.cos(angle);
        table[row + half + i] = (float) Math.sin(angle);
      }
    }
  }

  /** One row of the batch. */
  @Override
  public void run(int item, int worker) {
    int sequence = 0;
    while (batch.start(sequence) + batch.rows(sequence) <= item) {
      sequence++;
    }
    int position = batch.past(sequence) + item - batch.start(sequence);
    int half = headDim / 2;
    int angles = position * headDim;
    if (backward) {
      turnBack(item, angles, half, worker);
      return;
    }
    for (int h = 0; h < heads; h++) {
      kernels.rotate(q + 4 * (item * qStride + (long) h * headDim), table, angles, half);
    }
    KvCache cache = batch.cache(sequence);
    KvCache.Pool pool = cache.pool();
    DType type = pool.dtype();
    long page = cache.page(position, layer).address();
    int slot = position % KvCache.Pool.PAGE;
    for (int h = 0; h < kvHeads; h++) {
      long key = k + 4 * (item * kStride + (long) h * headDim);
      long value = v + 4 * (item * vStride + (long) h * headDim);
      long place = ((long) h * KvCache.Pool.PAGE + slot) * headDim;
      kernels.rotate(key, table, angles, half);
      store(type, key, page + (pool.keyOffset(layer) + place) * type.bytes(), worker);
      store(type, value, page + (pool.valueOffset(layer) + place) * type.bytes(), worker);
    }
  }

  /** The inverse of a rotation is the one by the negative angle, whose sine is negative. */
  private void turnBack(int item, int angles, int half, int worker) {
    float[] row = rowOfWorker[worker].floats(headDim);
    System.arraycopy(table, angles, row, 0, half);
    for (int i = half; i < headDim; i++) {
      row[i] = -table[angles + i];
    }
    for (int h = 0; h < heads; h++) {
      kernels.rotate(q + 4 * (item * qStride + (long) h * headDim), row, 0, half);
    }
    for (int h = 0; h < kvHeads; h++) {
      kernels.rotate(k + 4 * (item * kStride + (long) h * headDim), row, 0, half);
    }
  }

  private void store(DType type, long head, long place, int worker) {
    if (type == DType.F32) {
      Memory.copy(head, place, 4L * headDim);
    } else {
      float[] row = rowOfWorker[worker].floats(headDim);
      kernels.toFloats(DType.F32, head, row, 0, headDim);
      kernels.fromFloats(type, row, 0, place, headDim);
    }
  }
}
