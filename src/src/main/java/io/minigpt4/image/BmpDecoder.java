package io.minigpt4.image;

/**
 * Windows and OS/2 bitmaps: 1, 2, 4, 8, 16, 24 and 32 bits a pixel, bit fields, run-length coding,
 * either direction.
 */
final class BmpDecoder {
  private static final String FORMAT = "BMP";
  private static final int FILE_HEADER = 14;
  private static final int CORE_HEADER = 12;
  private static final int RAW = 0;
  private static final int RLE8 = 1;
  private static final int RLE4 = 2;
  private static final int BIT_FIELDS = 3;
  private static final int ALPHA_BIT_FIELDS = 6;

  private final ByteCursor in;
  private final PictureOptions options;
  private int width;
  private int height;
  private boolean topDown;
  private int bits;
  private int compression;

  /** Masks of red, green and blue in a pixel of 16 or more bits. */
  private long[] masks = {0xFF0000, 0xFF00, 0xFF};

  private byte[] palette = {};

  private BmpDecoder(byte[] data, PictureOptions options) {
    this.in = new ByteCursor(data, FORMAT);
    this.options = options;
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    return new Decoded(new BmpDecoder(data, options).decode(), Orientation.NORMAL);
  }

  private Picture decode() throws DecodeException {
    in.skip(10);
    long pixelsAt = in.u32le();
    long headerSize = in.u32le();
    if (headerSize != CORE_HEADER && (headerSize < 40 || headerSize > 124)) {
      throw DecodeException.unsupported(FORMAT, "a header of " + headerSize + " bytes");
    }
    int headerEnd = FILE_HEADER + (int) headerSize;
    int colours = readHeader(headerSize == CORE_HEADER);
    boolean fields = compression == BIT_FIELDS || compression == ALPHA_BIT_FIELDS;
    if (fields) {
      // The masks end the long headers and follow the short one.
      for (int i = 0; i < 3; i++) {
        masks[i] = in.u32le();
      }
      if (masks[0] == 0 && masks[1] == 0 && masks[2] == 0) {
        masks = new long[] {0xFF0000, 0xFF00, 0xFF};
      }
      if (headerSize == 40) {
        headerEnd += compression == BIT_FIELDS ? 12 : 16;
      }
    } else if (bits == 16) {
      masks = new long[] {0x7C00, 0x3E0, 0x1F};
    }
    in.seek(headerEnd);
    if (bits <= 8) {
      readPalette(colours, headerSize == CORE_HEADER ? 3 : 4);
    }
    // Some writers let the pixels begin where the palette does.
    if (pixelsAt != 0 && pixelsAt != headerEnd) {
      in.seek(pixelsAt);
    }
    return new Picture(width, height, readPixels());
  }

  /** Reads the header's common part and returns the number of colours in the palette. */
  private int readHeader(boolean core) throws DecodeException {
    long w = core ? in.u16le() : in.u32le();
    long h = core ? in.u16le() : in.i32le();
    topDown = h < 0;
    options.check(FORMAT, w, Math.abs(h));
    width = (int) w;
    height = (int) Math.abs(h);
    in.skip(2);
    bits = in.u16le();
    long colours = 0;
    if (!core) {
      compression = (int) Math.min(in.u32le(), Integer.MAX_VALUE);
      in.skip(12);
      colours = in.u32le();
      in.skip(4);
    }
    boolean packed = bits == 1 || bits == 2 || bits == 4 || bits == 8;
    boolean known =
        switch (compression) {
          case RAW -> packed || bits == 16 || bits == 24 || bits == 32;
          case RLE8 -> bits == 8;
          case RLE4 -> bits == 4;
          case BIT_FIELDS, ALPHA_BIT_FIELDS -> bits == 16 || bits == 24 || bits == 32;
          default -> false;
        };
    if (!known) {
      throw DecodeException.unsupported(
          FORMAT, bits + " bits a pixel and compression " + compression);
    }
    return packed && (colours == 0 || colours > 1L << bits) ? 1 << bits : (int) colours;
  }

  private void readPalette(int colours, int entryBytes) throws DecodeException {
    palette = new byte[3 * 256];
    for (int i = 0; i < colours; i++) {
      ByteCursor entry = in.slice(entryBytes);
      palette[3 * i + 2] = (byte) entry.u8();
      palette[3 * i + 1] = (byte) entry.u8();
      palette[3 * i] = (byte) entry.u8();
    }
  }

  private byte[] readPixels() throws DecodeException {
    byte[] indices = {};
    if (compression == RLE8 || compression == RLE4) {
      indices = readRuns();
    } else {
      in.need(((long) width * bits + 31) / 32 * 4 * (height - 1) + ((long) width * bits + 7) / 8);
    }
    byte[] rgb = new byte[3 * width * height];
    for (int i = 0; i < height; i++) {
      int to = 3 * width * (topDown ? i : height - 1 - i);
      if (indices.length > 0) {
        for (int x = 0; x < width; x++, to += 3) {
          System.arraycopy(palette, 3 * (indices[i * width + x] & 0xFF), rgb, to, 3);
        }
      } else {
        int rowEnd = in.position() + (int) (((long) width * bits + 31) / 32 * 4);
        readRow(rgb, to);
        in.seek(Math.min(rowEnd, in.end()));
      }
    }
    return rgb;
  }

  private void readRow(byte[] rgb, int at) throws DecodeException {
    int to = at;
    int start = in.position();
    for (int x = 0; x < width; x++, to += 3) {
      if (bits <= 8) {
        int bit = x * bits;
        int index = in.data()[start + (bit >> 3)] >> (8 - bits - (bit & 7)) & ((1 << bits) - 1);
        System.arraycopy(palette, 3 * index, rgb, to, 3);
        continue;
      }
      long pixel =
          switch (bits) {
            case 16 -> in.u16le();
            case 24 -> in.u24le();
            default -> in.u32le();
          };
      for (int c = 0; c < 3; c++) {
        rgb[to + c] = channel(pixel, masks[c]);
      }
    }
  }

  /** The bits under a mask, stretched to 8. */
  private static byte channel(long pixel, long mask) {
    if (mask == 0) {
      return 0;
    }
    long most = mask >> Long.numberOfTrailingZeros(mask);
    long value = (pixel & mask) >> Long.numberOfTrailingZeros(mask);
    return (byte) (value * 255 / most);
  }

  /** Undoes run-length coding; pixels that are left out are index 0. */
  private byte[] readRuns() throws DecodeException {
    byte[] out = new byte[width * height];
    int x = 0;
    int y = 0;
    while (y < height) {
      int count = in.u8();
      int value = in.u8();
      if (count > 0) {
        int end = Math.min(x + count, width);
        for (int i = 0; x < end; x++, i++) {
          out[y * width + x] = (byte) (bits == 8 ? value : nibble(value, i));
        }
      } else if (value == 0) {
        x = 0;
        y++;
      } else if (value == 1) {
        break;
      } else if (value == 2) {
        x = Math.min(x + in.u8(), width);
        y += in.u8();
      } else {
        int bytes = bits == 8 ? value : (value + 1) / 2;
        ByteCursor run = in.slice(bytes);
        int pair = 0;
        for (int i = 0; i < value; i++) {
          if (bits == 8 || (i & 1) == 0) {
            pair = run.u8();
          }
          if (x < width) {
            out[y * width + x++] = (byte) (bits == 8 ? pair : nibble(pair, i));
          }
        }
        // Runs are padded to an even number of bytes.
        in.skip(bytes & 1);
      }
    }
    return out;
  }

  private static int nibble(int pair, int i) {
    return (i & 1) == 0 ? pair >> 4 : pair & 15;
  }
}
