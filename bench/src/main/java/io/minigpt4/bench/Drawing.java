package io.minigpt4.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;

/** Pictures that no server has seen before. */
final class Drawing {
  private static final int SIDE = 112;
  private static final int HEADER = 54;
  private static final int WHITE = 0xFFFFFF;

  private Drawing() {}

  /** A few coloured rectangles on white, as a BMP file of 112 × 112 pixels. */
  static byte[] bmp(SplittableRandom random) {
    int row = SIDE * 3; // a multiple of four, as the format wants
    ByteBuffer file = ByteBuffer.allocate(HEADER + SIDE * row).order(ByteOrder.LITTLE_ENDIAN);
    file.put((byte) 'B').put((byte) 'M').putInt(file.capacity()).putInt(0).putInt(HEADER);
    file.putInt(40).putInt(SIDE).putInt(SIDE).putShort((short) 1).putShort((short) 24);
    fill(file, 0, 0, SIDE, SIDE, WHITE);
    for (int i = 0; i < 3; i++) {
      int width = 10 + random.nextInt(40);
      int height = 10 + random.nextInt(40);
      int x = random.nextInt(SIDE - width);
      int y = random.nextInt(SIDE - height);
      fill(file, x, y, width, height, random.nextInt(WHITE));
    }
    return file.array();
  }

  private static void fill(ByteBuffer file, int x, int y, int width, int height, int colour) {
    for (int i = 0; i < width * height; i++) {
      int at = HEADER + ((y + i / width) * SIDE + x + i % width) * 3;
      file.put(at, (byte) colour).put(at + 1, (byte) (colour >> 8));
      file.put(at + 2, (byte) (colour >> 16));
    }
  }
}
