package io.minigpt4.softgpu.run;

import java.util.Arrays;

/**
 * The {@code cp.async} copies of a warp that are under way. A copy happens when its thread waits
 * for it, as late as hardware may do it, so that a forgotten wait is seen.
 */
public final class AsyncCopies {
  private static final int FIELDS = 5;
  private final Warp w;
  private final long[][] queue = new long[Warp.LANES][];
  private final int[] head = new int[Warp.LANES];
  private final int[] tail = new int[Warp.LANES];
  private final int[] group = new int[Warp.LANES];

  AsyncCopies(Warp w) {
    this.w = w;
  }

  void clear() {
    Arrays.fill(head, 0);
    Arrays.fill(tail, 0);
    Arrays.fill(group, 0);
  }

  /** {@code cp.async}: {@code bytes} to shared memory, those past {@code fromGlobal} as zeros. */
  public static void start(
      Warp w, int lane, int site, long shared, long global, int bytes, int fromGlobal) {
    int n = Math.max(0, Math.min(bytes, fromGlobal));
    long src = w.cta.scratch;
    if (n > 0) {
      src = source(w, lane, site, global, bytes, n);
    }
    w.cta.shared.beginAsync(w, lane, site, shared, bytes);
    if (w.cta.shared.contains(shared, bytes)) {
      w.async.add(lane, site, shared, src, bytes, n);
    }
  }

  /** Checks the bytes that are read; the address itself must be aligned to the whole size. */
  private static long source(Warp w, int lane, int site, long global, int bytes, int n) {
    if (n == bytes || (global & (bytes - 1)) != 0) {
      return Access.loadGlobal(w, lane, site, global, bytes);
    }
    for (int i = 0; i < n; i++) {
      if (Access.loadGlobal(w, lane, site, global + i, 1) != global + i) {
        return w.cta.scratch;
      }
    }
    return global;
  }

  private void add(int lane, int site, long shared, long global, int bytes, int n) {
    long[] q = queue[lane];
    if (q == null) {
      q = new long[FIELDS * 16];
      queue[lane] = q;
    }
    if (head[lane] == tail[lane]) {
      head[lane] = 0;
      tail[lane] = 0;
    }
    int t = tail[lane] * FIELDS;
    if (t == q.length) {
      q = Arrays.copyOf(q, q.length * 2);
      queue[lane] = q;
    }
    q[t] = shared;
    q[t + 1] = global;
    q[t + 2] = (long) bytes << 32 | n;
    q[t + 3] = group[lane];
    q[t + 4] = site;
    tail[lane]++;
  }

  /** {@code cp.async.commit_group}. */
  public static void commit(Warp w, int lane) {
    w.async.group[lane]++;
  }

  /** {@code cp.async.wait_group}: all but the {@code n} youngest groups of this thread arrive. */
  public static void await(Warp w, int lane, int n) {
    w.async.complete(lane, w.async.group[lane] - n);
  }

  /** {@code cp.async.wait_all}. */
  public static void awaitAll(Warp w, int lane) {
    w.async.complete(lane, Integer.MAX_VALUE);
  }

  private void complete(int lane, int before) {
    long[] q = queue[lane];
    while (head[lane] < tail[lane] && q[head[lane] * FIELDS + 3] < before) {
      int h = head[lane] * FIELDS;
      int bytes = (int) (q[h + 2] >>> 32);
      int n = (int) q[h + 2];
      long to = w.cta.shared.data + q[h];
      Raw.copy(q[h + 1], to, n);
      if (n < bytes) {
        Raw.fill(to + n, bytes - n, 0);
      }
      w.cta.shared.endAsync(w, lane, (int) q[h + 4], q[h], bytes);
      head[lane]++;
    }
  }
}
