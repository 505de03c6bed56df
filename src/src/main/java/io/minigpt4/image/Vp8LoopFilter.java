package io.minigpt4.image;

/** The loop filter of VP8 (RFC 6386, section 15), which smooths the edges between blocks. */
final class Vp8LoopFilter {
  private final Vp8Plane luma;
  private final Vp8Plane[] chroma;
  private final boolean simple;

  Vp8LoopFilter(Vp8Plane luma, Vp8Plane[] chroma, boolean simple) {
    this.luma = luma;
    this.chroma = chroma;
    this.simple = simple;
  }

  /**
   * Filters the edges of one macroblock. Those before it, row by row, must be done.
   *
   * @param level 1–63
   * @param interior limit of differences within a block
   * @param inner whether to filter the edges of its 4×4 blocks too
   */
  void macroblock(int column, int row, int level, int interior, boolean inner) {
    int limit = 2 * level + interior;
    int variance = level >= 40 ? 2 : level >= 15 ? 1 : 0;
    edges(luma, 16 * column, 16 * row, 16, limit, interior, variance, inner);
    if (!simple) {
      for (Vp8Plane plane : chroma) {
        edges(plane, 8 * column, 8 * row, 8, limit, interior, variance, inner);
      }
    }
  }

  private void edges(
      Vp8Plane plane,
      int x,
      int y,
      int size,
      int limit,
      int interior,
      int variance,
      boolean inner) {
    int at = plane.at(x, y);
    int down = plane.stride;
    if (x > 0) {
      edge(plane.data, at, 1, down, size, limit + 4, interior, variance, true);
    }
    for (int i = 4; inner && i < size; i += 4) {
      edge(plane.data, at + i, 1, down, size, limit, interior, variance, false);
    }
    if (y > 0) {
      edge(plane.data, at, down, 1, size, limit + 4, interior, variance, true);
    }
    for (int i = 4; inner && i < size; i += 4) {
      edge(plane.data, at + i * down, down, 1, size, limit, interior, variance, false);
    }
  }

  /**
   * Filters across one edge.
   *
   * @param across distance from a sample to the next across the edge
   * @param along distance along it
   * @param outer whether it is an edge of a macroblock
   */
  private void edge(
      byte[] data,
      int start,
      int across,
      int along,
      int size,
      int limit,
      int interior,
      int variance,
      boolean outer) {
    for (int i = 0; i < size; i++) {
      int at = start + i * along;
      int p1 = data[at - 2 * across] & 0xFF;
      int p0 = data[at - across] & 0xFF;
      int q0 = data[at] & 0xFF;
      int q1 = data[at + across] & 0xFF;
      if (4 * Math.abs(p0 - q0) + Math.abs(p1 - q1) > 2 * limit + 1) {
        continue;
      }
      if (simple) {
        two(data, at, across);
        continue;
      }
      int p3 = data[at - 4 * across] & 0xFF;
      int p2 = data[at - 3 * across] & 0xFF;
      int q2 = data[at + 2 * across] & 0xFF;
      int q3 = data[at + 3 * across] & 0xFF;
      int step =
          Math.max(
              Math.max(Math.abs(p3 - p2), Math.abs(p2 - p1)),
              Math.max(Math.abs(q3 - q2), Math.abs(q2 - q1)));
      int near = Math.max(Math.abs(p1 - p0), Math.abs(q1 - q0));
      if (Math.max(step, near) > interior) {
        continue;
      }
      if (near > variance) {
        two(data, at, across);
      } else if (outer) {
        six(data, at, across);
      } else {
        four(data, at, across);
      }
    }
  }

  /** Changes the two samples at the edge. */
  private static void two(byte[] data, int at, int across) {
    int p1 = data[at - 2 * across] & 0xFF;
    int p0 = data[at - across] & 0xFF;
    int q0 = data[at] & 0xFF;
    int q1 = data[at + across] & 0xFF;
    int a = 3 * (q0 - p0) + signedByte(p1 - q1);
    data[at - across] = pixel(p0 + fiveBits((a + 3) >> 3));
    data[at] = pixel(q0 - fiveBits((a + 4) >> 3));
  }

  /** Changes two samples on either side, inside a macroblock. */
  private static void four(byte[] data, int at, int across) {
    int p1 = data[at - 2 * across] & 0xFF;
    int p0 = data[at - across] & 0xFF;
    int q0 = data[at] & 0xFF;
    int q1 = data[at + across] & 0xFF;
    int a = 3 * (q0 - p0);
    int a1 = fiveBits((a + 4) >> 3);
    int a3 = (a1 + 1) >> 1;
    data[at - 2 * across] = pixel(p1 + a3);
    data[at - across] = pixel(p0 + fiveBits((a + 3) >> 3));
    data[at] = pixel(q0 - a1);
    data[at + across] = pixel(q1 - a3);
  }

  /** Changes three samples on either side, between macroblocks. */
  private static void six(byte[] data, int at, int across) {
    int p1 = data[at - 2 * across] & 0xFF;
    int p0 = data[at - across] & 0xFF;
    int q0 = data[at] & 0xFF;
    int q1 = data[at + across] & 0xFF;
    int a = signedByte(3 * (q0 - p0) + signedByte(p1 - q1));
    for (int i = 0; i < 3; i++) {
      int change = (9 * (3 - i) * a + 63) >> 7;
      int p = at - (i + 1) * across;
      int q = at + i * across;
      data[p] = pixel((data[p] & 0xFF) + change);
      data[q] = pixel((data[q] & 0xFF) - change);
    }
  }

  private static int signedByte(int v) {
    return Math.clamp(v, -128, 127);
  }

  private static int fiveBits(int v) {
    return Math.clamp(v, -16, 15);
  }

  private static byte pixel(int v) {
    return (byte) Math.clamp(v, 0, 255);
  }
}
