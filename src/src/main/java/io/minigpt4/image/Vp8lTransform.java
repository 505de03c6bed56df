package io.minigpt4.image;

/** A reversible transform of lossless WebP (RFC 9649, section 3.5). */
final class Vp8lTransform {
  static final int PREDICTOR = 0;
  static final int CROSS_COLOUR = 1;
  static final int SUBTRACT_GREEN = 2;
  static final int COLOUR_INDEXING = 3;

  private static final int BLACK = 0xFF000000;

  private final int type;
  private final int width;
  private final int bits;
  private final int[] data;

  /**
   * @param width of the image that undoing it yields
   * @param bits block size of a predictor or cross-colour transform, as an exponent of 2; of a
   *     colour table how many pixels are packed into one, likewise
   * @param data what each block uses, or the colour table
   */
  Vp8lTransform(int type, int width, int bits, int[] data) {
    this.type = type;
    this.width = width;
    this.bits = bits;
    this.data = data;
  }

  /** Width of the image that it is undone upon. */
  int packedWidth() {
    return type == COLOUR_INDEXING ? (width + (1 << bits) - 1) >> bits : width;
  }

  /** Undoes the transform, in place where the size stays. */
  int[] undo(int[] pixels, int height) {
    return switch (type) {
      case PREDICTOR -> addPredictions(pixels, height);
      case CROSS_COLOUR -> addCrossColour(pixels, height);
      case SUBTRACT_GREEN -> addGreen(pixels);
      default -> lookUp(pixels, height);
    };
  }

  /** Channel by channel, modulo 256. */
  static int add(int a, int b) {
    int alphaGreen = (a & 0xFF00FF00) + (b & 0xFF00FF00);
    int redBlue = (a & 0x00FF00FF) + (b & 0x00FF00FF);
    return (alphaGreen & 0xFF00FF00) | (redBlue & 0x00FF00FF);
  }

  private int[] addPredictions(int[] pixels, int height) {
    int across = (width + (1 << bits) - 1) >> bits;
    pixels[0] = add(pixels[0], BLACK);
    for (int x = 1; x < width; x++) {
      pixels[x] = add(pixels[x], pixels[x - 1]);
    }
    for (int y = 1; y < height; y++) {
      int row = y * width;
      pixels[row] = add(pixels[row], pixels[row - width]);
      for (int x = 1; x < width; x++) {
        int mode = data[(y >> bits) * across + (x >> bits)] >> 8 & 15;
        int i = row + x;
        // Above the right edge's right neighbour comes the row's own first pixel.
        int predicted =
            predict(
                mode,
                pixels[i - 1],
                pixels[i - width],
                pixels[i - width + 1],
                pixels[i - width - 1]);
        pixels[i] = add(pixels[i], predicted);
      }
    }
    return pixels;
  }

  /** The prediction of one pixel from those left, above, above right and above left. */
  private static int predict(int mode, int left, int top, int topRight, int topLeft) {
    return switch (mode) {
      case 1 -> left;
      case 2 -> top;
      case 3 -> topRight;
      case 4 -> topLeft;
      case 5 -> average(average(left, topRight), top);
      case 6 -> average(left, topLeft);
      case 7 -> average(left, top);
      case 8 -> average(topLeft, top);
      case 9 -> average(top, topRight);
      case 10 -> average(average(left, topLeft), average(top, topRight));
      case 11 -> select(left, top, topLeft);
      case 12 -> clampedSum(left, top, topLeft);
      case 13 -> clampedHalf(average(left, top), topLeft);
      default -> BLACK;
    };
  }

  private static int average(int a, int b) {
    return (((a ^ b) & 0xFEFEFEFE) >>> 1) + (a & b);
  }

  private static int select(int left, int top, int topLeft) {
    int towardsTop = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      int corner = topLeft >>> shift & 0xFF;
      towardsTop += Math.abs((left >>> shift & 0xFF) - corner);
      towardsTop -= Math.abs((top >>> shift & 0xFF) - corner);
    }
    return towardsTop <= 0 ? top : left;
  }

  private static int clampedSum(int left, int top, int topLeft) {
    int out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      int sum = (left >>> shift & 0xFF) + (top >>> shift & 0xFF) - (topLeft >>> shift & 0xFF);
      out |= Math.clamp(sum, 0, 255) << shift;
    }
    return out;
  }

  private static int clampedHalf(int mean, int topLeft) {
    int out = 0;
    for (int shift = 0; shift < 32; shift += 8) {
      int m = mean >>> shift & 0xFF;
      out |= Math.clamp(m + (m - (topLeft >>> shift & 0xFF)) / 2, 0, 255) << shift;
    }
    return out;
  }

  private int[] addCrossColour(int[] pixels, int height) {
    int across = (width + (1 << bits) - 1) >> bits;
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int factors = data[(y >> bits) * across + (x >> bits)];
        int pixel = pixels[y * width + x];
        int green = pixel >> 8;
        int red = (pixel >> 16) + delta(factors, green);
        int blue = pixel + delta(factors >> 8, green) + delta(factors >> 16, red);
        pixels[y * width + x] = (pixel & 0xFF00FF00) | (red & 0xFF) << 16 | (blue & 0xFF);
      }
    }
    return pixels;
  }

  /** The product of two signed bytes in 3.5 fixed point. */
  private static int delta(int factor, int colour) {
    return ((byte) factor * (byte) colour) >> 5;
  }

  private static int[] addGreen(int[] pixels) {
    for (int i = 0; i < pixels.length; i++) {
      int green = pixels[i] >> 8 & 0xFF;
      pixels[i] = add(pixels[i], green << 16 | green);
    }
    return pixels;
  }

  private int[] lookUp(int[] packed, int height) {
    int packedWidth = packedWidth();
    int pixelBits = 8 >> bits;
    int[] out = new int[width * height];
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int green = packed[y * packedWidth + (x >> bits)] >> 8 & 0xFF;
        int shift = (x & ((1 << bits) - 1)) * pixelBits;
        out[y * width + x] = data[green >> shift & ((1 << pixelBits) - 1)];
      }
    }
    return out;
  }
}
