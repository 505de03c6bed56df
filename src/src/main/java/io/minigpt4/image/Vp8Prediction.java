package io.minigpt4.image;

import java.util.Arrays;

/** Intra prediction of VP8 (RFC 6386, section 12), as libwebp does it at the frame's edges. */
final class Vp8Prediction {
  /** The mean of the neighbours above and to the left. */
  static final int DC = 0;

  /** Left plus above minus the corner. */
  static final int TRUE_MOTION = 1;

  static final int VERTICAL = 2;
  static final int HORIZONTAL = 3;

  // Only for 4×4 blocks, named by the direction that edges run in.
  static final int DOWN_RIGHT = 4;
  static final int VERTICAL_RIGHT = 5;
  static final int DOWN_LEFT = 6;
  static final int VERTICAL_LEFT = 7;
  static final int HORIZONTAL_DOWN = 8;
  static final int HORIZONTAL_UP = 9;

  /**
   * The neighbours of a 4×4 block in a row: from the lowest on the left (0) over the corner (4) to
   * the rightmost above (12).
   */
  private final int[] edge = new int[13];

  /** Predicts a square of 16 or 8 samples. */
  void square(Vp8Plane plane, int x, int y, int size, int mode) {
    int at = plane.at(x, y);
    int stride = plane.stride;
    byte[] data = plane.data;
    switch (mode) {
      case DC -> fill(plane, at, size, mean(plane, x, y, size));
      case TRUE_MOTION -> trueMotion(plane, at, size);
      case VERTICAL -> {
        for (int j = 0; j < size; j++) {
          System.arraycopy(data, at - stride, data, at + j * stride, size);
        }
      }
      default -> {
        for (int j = 0; j < size; j++) {
          int row = at + j * stride;
          Arrays.fill(data, row, row + size, data[row - 1]);
        }
      }
    }
  }

  private static void fill(Vp8Plane plane, int at, int size, int value) {
    for (int j = 0; j < size; j++) {
      int row = at + j * plane.stride;
      Arrays.fill(plane.data, row, row + size, (byte) value);
    }
  }

  /** The mean of those neighbours that are inside the frame. */
  private static int mean(Vp8Plane plane, int x, int y, int size) {
    int at = plane.at(x, y);
    int sum = 0;
    int count = 0;
    for (int i = 0; i < size; i++) {
      sum += y > 0 ? plane.get(at - plane.stride + i) : 0;
      sum += x > 0 ? plane.get(at - 1 + i * plane.stride) : 0;
    }
    count += y > 0 ? size : 0;
    count += x > 0 ? size : 0;
    return count == 0 ? 128 : (sum + count / 2) / count;
  }

  private static void trueMotion(Vp8Plane plane, int at, int size) {
    int stride = plane.stride;
    int corner = plane.get(at - stride - 1);
    for (int j = 0; j < size; j++) {
      int row = at + j * stride;
      int base = plane.get(row - 1) - corner;
      for (int i = 0; i < size; i++) {
        int v = base + plane.get(at - stride + i);
        plane.data[row + i] = (byte) Math.clamp(v, 0, 255);
      }
    }
  }

  /**
   * Predicts a 4×4 block.
   *
   * @param above the samples to the right of those above it: an array, and where they start in it
   */
  void block(Vp8Plane plane, int at, int mode, byte[] above, int aboveAt) {
    int stride = plane.stride;
    for (int i = 0; i < 4; i++) {
      edge[3 - i] = plane.get(at - 1 + i * stride);
      edge[5 + i] = plane.get(at - stride + i);
      edge[9 + i] = above[aboveAt + i] & 0xFF;
    }
    edge[4] = plane.get(at - stride - 1);
    switch (mode) {
      case DC -> {
        int sum = 4;
        for (int i = 0; i < 4; i++) {
          sum += edge[i] + edge[5 + i];
        }
        fill(plane, at, 4, sum >> 3);
      }
      case TRUE_MOTION -> trueMotion(plane, at, 4);
      default -> {
        for (int y = 0; y < 4; y++) {
          for (int x = 0; x < 4; x++) {
            plane.data[at + y * stride + x] = (byte) directional(mode, x, y);
          }
        }
      }
    }
  }

  private int directional(int mode, int x, int y) {
    return switch (mode) {
      case VERTICAL -> smooth(5 + x);
      case HORIZONTAL -> y == 3 ? (edge[1] + 3 * edge[0] + 2) >> 2 : smooth(3 - y);
      case DOWN_RIGHT -> smooth(4 + x - y);
      case DOWN_LEFT -> x + y == 6 ? (edge[11] + 3 * edge[12] + 2) >> 2 : smooth(6 + x + y);
      case VERTICAL_RIGHT -> {
        int along = 2 * x - y;
        if (along < 0) {
          yield smooth(5 + along);
        }
        yield (along & 1) == 0 ? between(4 + along / 2) : smooth(5 + along / 2);
      }
      case VERTICAL_LEFT -> verticalLeft(x, y);
      case HORIZONTAL_DOWN -> {
        int along = 2 * y - x;
        if (along < 0) {
          yield smooth(3 - along);
        }
        yield (along & 1) == 0 ? between(3 - along / 2) : smooth(3 - along / 2);
      }
      default -> horizontalUp(x, y);
    };
  }

  private int verticalLeft(int x, int y) {
    // The last two samples of the right column break the pattern.
    if (x == 3 && y >= 2) {
      return smooth(y == 2 ? 10 : 11);
    }
    int first = 5 + x + y / 2;
    return (y & 1) == 0 ? between(first) : smooth(first + 1);
  }

  private int horizontalUp(int x, int y) {
    int along = x + 2 * y;
    if (along > 5) {
      return edge[0];
    }
    if (along == 5) {
      return (edge[1] + 3 * edge[0] + 2) >> 2;
    }
    int first = 3 - along / 2;
    return (along & 1) == 0 ? between(first - 1) : smooth(first - 1);
  }

  /** The rounded mean of a neighbour and the next one. */
  private int between(int i) {
    return (edge[i] + edge[i + 1] + 1) >> 1;
  }

  /** A neighbour weighted 2 with the ones before and behind it. */
  private int smooth(int i) {
    return (edge[i - 1] + 2 * edge[i] + edge[i + 1] + 2) >> 2;
  }
}
