package io.minigpt4.image;

/** How a TIFF's samples become RGB. */
final class TiffSamples {
  static final int WHITE_IS_ZERO = 0;
  static final int BLACK_IS_ZERO = 1;
  static final int RGB = 2;
  static final int PALETTE = 3;
  static final int CMYK = 5;
  static final int YCC = 6;

  private final int photometric;
  private final int count;
  private final int bits;
  private final boolean planar;
  private final boolean associated;
  private final boolean little;
  private final byte[] palette;

  /**
   * @param photometric colour interpretation, tag 262
   * @param count samples a pixel, the extra ones included
   * @param bits bits a sample
   * @param planar whether each sample has strips of its own
   * @param associated whether the fourth sample is an alpha that the colours were multiplied with
   * @param little whether 16-bit samples begin with the low byte
   * @param palette RGB of each index
   */
  TiffSamples(
      int photometric,
      int count,
      int bits,
      boolean planar,
      boolean associated,
      boolean little,
      byte[] palette) {
    this.photometric = photometric;
    this.count = count;
    this.bits = bits;
    this.planar = planar;
    this.associated = associated;
    this.little = little;
    this.palette = palette;
  }

  int count() {
    return count;
  }

  int bits() {
    return bits;
  }

  boolean planar() {
    return planar;
  }

  boolean isYcc() {
    return photometric == YCC;
  }

  /**
   * Converts a row of a strip or tile.
   *
   * @param chunk its bytes, of each plane
   * @param stride pixels in a row of it
   */
  void toRgb(byte[][] chunk, int stride, int row, int columns, byte[] rgb, int at) {
    int to = at;
    for (int x = 0; x < columns; x++, to += 3) {
      switch (photometric) {
        case RGB, YCC -> {
          for (int c = 0; c < 3; c++) {
            rgb[to + c] = high(chunk, stride, row, x, c);
          }
          if (associated) {
            divideBy(high(chunk, stride, row, x, 3) & 0xFF, rgb, to);
          }
        }
        case CMYK -> {
          int black = high(chunk, stride, row, x, 3) & 0xFF;
          for (int c = 0; c < 3; c++) {
            rgb[to + c] = Inks.toRgb(high(chunk, stride, row, x, c) & 0xFF, black);
          }
        }
        case PALETTE -> {
          int index =
              bits == 8 ? high(chunk, stride, row, x, 0) & 0xFF : packed(chunk, stride, row, x);
          System.arraycopy(palette, 3 * index, rgb, to, 3);
        }
        default -> {
          byte grey = grey(chunk, stride, row, x);
          rgb[to] = grey;
          rgb[to + 1] = grey;
          rgb[to + 2] = grey;
        }
      }
    }
  }

  /** Undoes the multiplication with alpha, as Pillow does. */
  private static void divideBy(int alpha, byte[] rgb, int at) {
    if (alpha == 0 || alpha == 255) {
      return;
    }
    for (int c = 0; c < 3; c++) {
      rgb[at + c] = (byte) Math.min(255 * (rgb[at + c] & 0xFF) / alpha, 255);
    }
  }

  private byte grey(byte[][] chunk, int stride, int row, int x) {
    if (bits == 16) {
      // Pillow clips 16-bit grey instead of scaling it, and does not invert it.
      int value = high(chunk, stride, row, x, 0) == 0 ? low(chunk, stride, row, x) : 255;
      return (byte) value;
    }
    int value =
        bits == 8
            ? high(chunk, stride, row, x, 0) & 0xFF
            : packed(chunk, stride, row, x) * (255 / ((1 << bits) - 1));
    return (byte) (photometric == WHITE_IS_ZERO ? 255 - value : value);
  }

  private int index(int stride, int row, int x, int sample) {
    return ((row * stride + x) * (planar ? 1 : count) + (planar ? 0 : sample)) * (bits / 8);
  }

  /** The high byte of a sample of 8 or 16 bits. */
  private byte high(byte[][] chunk, int stride, int row, int x, int sample) {
    int i = index(stride, row, x, sample);
    return chunk[planar ? sample : 0][bits == 16 && little ? i + 1 : i];
  }

  private int low(byte[][] chunk, int stride, int row, int x) {
    int i = index(stride, row, x, 0);
    return chunk[0][little ? i : i + 1] & 0xFF;
  }

  /** A sample of fewer than 8 bits; pixels then have one sample. */
  private int packed(byte[][] chunk, int stride, int row, int x) {
    int rowBytes = (stride * bits + 7) / 8;
    int bit = x * bits;
    return chunk[0][row * rowBytes + (bit >> 3)] >> (8 - bits - (bit & 7)) & ((1 << bits) - 1);
  }
}
