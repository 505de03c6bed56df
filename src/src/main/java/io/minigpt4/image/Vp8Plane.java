package io.minigpt4.image;

import java.util.Arrays;

/**
 * The samples of one channel of a VP8 frame, with a border of one sample above and to the left that
 * predictions at the frame's edges start from.
 */
final class Vp8Plane {
  private static final byte ABOVE = 127;
  private static final byte LEFT = (byte) 129;

  final byte[] data;
  final int stride;

  Vp8Plane(int width, int height) {
    stride = width + 1;
    data = new byte[stride * (height + 1)];
    Arrays.fill(data, 0, stride, ABOVE);
    for (int y = 0; y < height; y++) {
      data[at(-1, y)] = LEFT;
    }
  }

  /** Index of a sample; −1 is the border. */
  int at(int x, int y) {
    return (y + 1) * stride + x + 1;
  }

  int get(int index) {
    return data[index] & 0xFF;
  }
}
