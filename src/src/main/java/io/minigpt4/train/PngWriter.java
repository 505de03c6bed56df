package io.minigpt4.train;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;

/** Encodes pixels as PNG (ISO/IEC 15948), so that a diagram does not need {@code java.desktop}. */
final class PngWriter {
  private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  private static final int BIT_DEPTH = 8;
  private static final int RGB = 2;

  private PngWriter() {}

  /**
   * Encodes a picture.
   *
   * @param rgb rows from the top, three bytes a pixel
   */
  static byte[] encode(int width, int height, byte[] rgb) throws IOException {
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    png.writeBytes(SIGNATURE);
    ByteBuffer header = ByteBuffer.allocate(13).putInt(width).putInt(height);
    header.put((byte) BIT_DEPTH).put((byte) RGB); // the rest, zeros: deflate, filters, no interlace
    chunk(png, "IHDR", header.array());
    ByteArrayOutputStream pixels = new ByteArrayOutputStream();
    try (DeflaterOutputStream deflated = new DeflaterOutputStream(pixels)) {
      for (int y = 0; y < height; y++) {
        deflated.write(0); // no filter
        deflated.write(rgb, 3 * width * y, 3 * width);
      }
    }
    chunk(png, "IDAT", pixels.toByteArray());
    chunk(png, "IEND", new byte[0]);
    return png.toByteArray();
  }

  private static void chunk(ByteArrayOutputStream to, String type, byte[] content) {
    ByteBuffer chunk = ByteBuffer.allocate(12 + content.length).putInt(content.length);
    chunk.put(type.getBytes(StandardCharsets.US_ASCII)).put(content);
    CRC32 checksum = new CRC32();
    checksum.update(chunk.array(), 4, 4 + content.length);
    to.writeBytes(chunk.putInt((int) checksum.getValue()).array());
  }
}
