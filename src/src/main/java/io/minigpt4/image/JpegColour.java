package io.minigpt4.image;

/**
 * From a JPEG's component planes to RGB: chroma is interpolated by triangle filters ("fancy
 * upsampling") and converted by ITU-R BT.601's full-range equations in 16-bit fixed point, as the
 * Independent JPEG Group's library and its descendants do by default; CMYK to RGB is Pillow's.
 */
final class JpegColour {
  /** What the components mean. */
  enum Space {
    GREY,
    RGB,
    YCC,
    CMYK,
    YCCK
  }

  private static final int[] RED_BY_CR = new int[256];
  private static final int[] GREEN_BY_CR = new int[256];
  private static final int[] GREEN_BY_CB = new int[256];
  private static final int[] BLUE_BY_CB = new int[256];

  static {
    int half = 1 << 15;
    for (int i = 0; i < 256; i++) {
      int x = i - 128;
      RED_BY_CR[i] = (91881 * x + half) >> 16; // 1.40200
      BLUE_BY_CB[i] = (116130 * x + half) >> 16; // 1.77200
      GREEN_BY_CR[i] = -46802 * x; // 0.71414
      GREEN_BY_CB[i] = -22554 * x + half; // 0.34414
    }
  }

  private final JpegComponent[] components;
  private final int maxAcross;
  private final int maxDown;
  private final byte[][] rows;

  JpegColour(JpegComponent[] components, int maxAcross, int maxDown) {
    this.components = components;
    this.maxAcross = maxAcross;
    this.maxDown = maxDown;
    this.rows = new byte[components.length][];
    for (int i = 0; i < components.length; i++) {
      JpegComponent c = components[i];
      rows[i] = new byte[(c.width + 1) * (maxAcross / c.across)];
    }
  }

  /** Converts the whole picture. */
  byte[] toRgb(Space space, int width, int height) {
    byte[] out = new byte[3 * width * height];
    for (int y = 0; y < height; y++) {
      for (int i = 0; i < components.length; i++) {
        upsample(components[i], y, rows[i]);
      }
      convert(space, width, out, 3 * y * width);
    }
    return out;
  }

  private void upsample(JpegComponent c, int y, byte[] out) {
    int stride = c.stride();
    int across = maxAcross / c.across;
    int down = maxDown / c.down;
    int row = y / down;
    if (across == 1 && down == 1) {
      System.arraycopy(c.samples, row * stride, out, 0, c.width);
    } else if (across == 2 && down == 1 && c.width > 2) {
      doubleAcross(c.samples, row * stride, c.width, out);
    } else if (across <= 2 && down == 2 && (across == 1 || c.width > 2)) {
      boolean lower = (y & 1) == 1;
      int near = Math.clamp(lower ? row + 1L : row - 1L, 0, c.height - 1);
      if (across == 1) {
        doubleDown(c.samples, row * stride, near * stride, c.width, lower ? 2 : 1, out);
      } else {
        doubleBoth(c.samples, row * stride, near * stride, c.width, out);
      }
    } else {
      for (int x = 0; x < c.width * across; x++) {
        out[x] = c.samples[row * stride + x / across];
      }
    }
  }

  /** Weights 3/4 and 1/4; halves are rounded down and up in turn. */
  private static void doubleAcross(byte[] in, int at, int width, byte[] out) {
    for (int x = 0; x < width; x++) {
      int here = 3 * (in[at + x] & 0xFF);
      int left = in[at + Math.max(x - 1, 0)] & 0xFF;
      int right = in[at + Math.min(x + 1, width - 1)] & 0xFF;
      out[2 * x] = (byte) ((here + left + 1) >> 2);
      out[2 * x + 1] = (byte) ((here + right + 2) >> 2);
    }
  }

  private static void doubleDown(byte[] in, int at, int near, int width, int bias, byte[] out) {
    for (int x = 0; x < width; x++) {
      out[x] = (byte) ((3 * (in[at + x] & 0xFF) + (in[near + x] & 0xFF) + bias) >> 2);
    }
  }

  /** Weights 9/16, 3/16, 3/16 and 1/16. */
  private static void doubleBoth(byte[] in, int at, int near, int width, byte[] out) {
    int here = 3 * (in[at] & 0xFF) + (in[near] & 0xFF);
    int left = here;
    for (int x = 0; x < width; x++) {
      int next = Math.min(x + 1, width - 1);
      int right = 3 * (in[at + next] & 0xFF) + (in[near + next] & 0xFF);
      out[2 * x] = (byte) ((3 * here + left + 8) >> 4);
      out[2 * x + 1] = (byte) ((3 * here + right + 7) >> 4);
      left = here;
      here = right;
    }
  }

  private void convert(Space space, int width, byte[] out, int at) {
    int to = at;
    for (int x = 0; x < width; x++, to += 3) {
      switch (space) {
        case GREY -> {
          out[to] = rows[0][x];
          out[to + 1] = rows[0][x];
          out[to + 2] = rows[0][x];
        }
        case RGB, CMYK -> {
          out[to] = rows[0][x];
          out[to + 1] = rows[1][x];
          out[to + 2] = rows[2][x];
        }
        case YCC, YCCK -> yccToRgb(x, out, to);
      }
      if (space == Space.CMYK) {
        // As Pillow assumes of every four-component JPEG, the inks are stored inverted.
        inverseInksToRgb(rows[3][x], out, to);
      } else if (space == Space.YCCK) {
        // YCC codes the complement of what is stored for the three inks.
        out[to] = (byte) ~out[to];
        out[to + 1] = (byte) ~out[to + 1];
        out[to + 2] = (byte) ~out[to + 2];
        inverseInksToRgb(rows[3][x], out, to);
      }
    }
  }

  private void yccToRgb(int x, byte[] out, int to) {
    int y = rows[0][x] & 0xFF;
    int cb = rows[1][x] & 0xFF;
    int cr = rows[2][x] & 0xFF;
    out[to] = (byte) Math.clamp(y + RED_BY_CR[cr], 0, 255);
    out[to + 1] = (byte) Math.clamp(y + ((GREEN_BY_CB[cb] + GREEN_BY_CR[cr]) >> 16), 0, 255);
    out[to + 2] = (byte) Math.clamp(y + BLUE_BY_CB[cb], 0, 255);
  }

  private static void inverseInksToRgb(byte key, byte[] out, int to) {
    for (int i = 0; i < 3; i++) {
      out[to + i] = Inks.toRgb(255 - (out[to + i] & 0xFF), 255 - (key & 0xFF));
    }
  }
}
