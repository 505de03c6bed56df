package io.minigpt4.image;

import java.util.Arrays;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * PNG (W3C Portable Network Graphics, second edition): all colour types, bit depths and
 * interlacing. Of an animated PNG the default image counts.
 */
final class PngDecoder {
  private static final String FORMAT = "PNG";
  private static final String SIGNATURE = "\u0089PNG\r\n\u001A\n";
  private static final int IHDR = 0x49484452;
  private static final int PLTE = 0x504C5445;
  private static final int IDAT = 0x49444154;
  private static final int IEND = 0x49454E44;
  private static final int EXIF = 0x65584966;

  private static final int GREY = 0;
  private static final int RGB = 2;
  private static final int PALETTE = 3;
  private static final int GREY_ALPHA = 4;
  private static final int RGBA = 6;

  /** Deflate cannot shrink by more than this, so larger claims need not be believed. */
  private static final long MAX_DEFLATE_RATIO = 1032;

  // Adam7 (section 8.2): origin and step of each pass.
  private static final int[] PASS_X = {0, 4, 0, 2, 0, 1, 0};
  private static final int[] PASS_Y = {0, 0, 4, 0, 2, 0, 1};
  private static final int[] STEP_X = {8, 8, 4, 4, 2, 2, 1};
  private static final int[] STEP_Y = {8, 8, 8, 4, 4, 2, 2};

  private final PictureOptions options;
  private final ByteCursor in;
  private int width;
  private int height;
  private int depth;
  private int colour;
  private boolean interlaced;
  private byte[] palette = new byte[0];
  private int orientation = Orientation.NORMAL;

  private PngDecoder(byte[] data, PictureOptions options) {
    this.in = new ByteCursor(data, FORMAT);
    this.options = options;
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    return new PngDecoder(data, options).decode();
  }

  private Decoded decode() throws DecodeException {
    if (!in.startsWith(SIGNATURE)) {
      if (in.remaining() < SIGNATURE.length()) {
        throw DecodeException.truncated(FORMAT);
      }
      throw DecodeException.damaged(FORMAT, "a signature changed by a text-mode transfer");
    }
    in.skip(SIGNATURE.length());
    IdatStream idat = new IdatStream(in.data());
    int type = nextChunk(true, idat);
    while (type != IEND) {
      type = nextChunk(false, idat);
    }
    if (idat.bytes == 0) {
      throw DecodeException.damaged(FORMAT, "no pixel data");
    }
    if (colour == PALETTE && palette.length == 0) {
      throw DecodeException.damaged(FORMAT, "no palette");
    }
    long raw = (long) height * (rowBytes(width) + 1);
    if (raw > (idat.bytes + 8) * MAX_DEFLATE_RATIO) {
      throw DecodeException.truncated(FORMAT);
    }
    byte[] rgb = new byte[3 * width * height];
    try (idat) {
      if (interlaced) {
        for (int pass = 0; pass < 7; pass++) {
          readPass(idat, rgb, PASS_X[pass], PASS_Y[pass], STEP_X[pass], STEP_Y[pass]);
        }
      } else {
        readPass(idat, rgb, 0, 0, 1, 1);
      }
    }
    return new Decoded(new Picture(width, height, rgb), orientation);
  }

  /** Reads one chunk and returns its type. */
  private int nextChunk(boolean first, IdatStream idat) throws DecodeException {
    long length = in.u32be();
    int typeAt = in.position();
    int type = in.i32be();
    if (first != (type == IHDR)) {
      throw DecodeException.damaged(FORMAT, "the header is not the first chunk");
    }
    ByteCursor body = in.slice(length);
    CRC32 crc = new CRC32();
    crc.update(in.data(), typeAt, 4 + (int) length);
    if (in.u32be() != crc.getValue()) {
      throw DecodeException.damaged(FORMAT, "a chunk's checksum does not match");
    }
    switch (type) {
      case IHDR -> readHeader(body);
      case PLTE -> readPalette(body);
      case IDAT -> idat.add(body);
      case EXIF -> orientation = Orientation.ofExif(in.data(), body.position(), body.end());
      default -> {
        // Everything else (text, colour profiles, animation frames) does not change the pixels.
      }
    }
    return type;
  }

  private void readHeader(ByteCursor body) throws DecodeException {
    if (body.remaining() != 13) {
      throw DecodeException.damaged(FORMAT, "a header of " + body.remaining() + " bytes");
    }
    long w = body.u32be();
    long h = body.u32be();
    options.check(FORMAT, w, h);
    width = (int) w;
    height = (int) h;
    depth = body.u8();
    colour = body.u8();
    int allowed =
        switch (colour) {
          case GREY -> 1 | 2 | 4 | 8 | 16;
          case PALETTE -> 1 | 2 | 4 | 8;
          case RGB, GREY_ALPHA, RGBA -> 8 | 16;
          default -> 0;
        };
    if (Integer.bitCount(depth) != 1 || (depth & allowed) == 0) {
      throw DecodeException.damaged(FORMAT, "colour type " + colour + " with " + depth + " bits");
    }
    int compression = body.u8();
    int filter = body.u8();
    int interlace = body.u8();
    if (compression != 0 || filter != 0 || interlace > 1) {
      throw DecodeException.damaged(FORMAT, "an unknown compression, filter or interlace method");
    }
    interlaced = interlace == 1;
  }

  private void readPalette(ByteCursor body) throws DecodeException {
    int bytes = body.remaining();
    if (bytes == 0 || bytes % 3 != 0 || bytes > 3 * 256) {
      throw DecodeException.damaged(FORMAT, "a palette of " + bytes + " bytes");
    }
    // Indices beyond the palette's end are black, as in Pillow.
    palette = new byte[3 * 256];
    System.arraycopy(in.data(), body.position(), palette, 0, bytes);
  }

  private int samples() {
    return switch (colour) {
      case RGB -> 3;
      case GREY_ALPHA -> 2;
      case RGBA -> 4;
      default -> 1;
    };
  }

  private int rowBytes(int pixels) {
    return (int) (((long) pixels * samples() * depth + 7) / 8);
  }

  /** Reads the pixels of one interlace pass, or all of them with steps of 1. */
  private void readPass(IdatStream idat, byte[] rgb, int x0, int y0, int stepX, int stepY)
      throws DecodeException {
    int columns = (width - x0 + stepX - 1) / stepX;
    if (columns <= 0) {
      return;
    }
    int bytes = rowBytes(columns);
    int pixelBytes = Math.max(1, samples() * depth / 8);
    byte[] row = new byte[bytes];
    byte[] above = new byte[bytes];
    for (int y = y0; y < height; y += stepY) {
      int filter = idat.readFilter();
      idat.read(row);
      unfilter(filter, row, above, pixelBytes);
      expand(row, columns, rgb, 3 * (y * width + x0), 3 * stepX);
      byte[] done = row;
      row = above;
      above = done;
    }
  }

  /** Undoes a row's filter (section 9.2) in place. */
  private static void unfilter(int filter, byte[] row, byte[] above, int pixelBytes)
      throws DecodeException {
    switch (filter) {
      case 0 -> {}
      case 1 -> {
        for (int i = pixelBytes; i < row.length; i++) {
          row[i] += row[i - pixelBytes];
        }
      }
      case 2 -> {
        for (int i = 0; i < row.length; i++) {
          row[i] += above[i];
        }
      }
      case 3 -> {
        for (int i = 0; i < row.length; i++) {
          int left = i < pixelBytes ? 0 : row[i - pixelBytes] & 0xFF;
          row[i] += (byte) ((left + (above[i] & 0xFF)) >> 1);
        }
      }
      case 4 -> paeth(row, above, pixelBytes);
      default -> throw DecodeException.damaged(FORMAT, "an unknown row filter " + filter);
    }
  }

  private static void paeth(byte[] row, byte[] above, int pixelBytes) {
    for (int i = 0; i < row.length; i++) {
      int a = i < pixelBytes ? 0 : row[i - pixelBytes] & 0xFF;
      int b = above[i] & 0xFF;
      int c = i < pixelBytes ? 0 : above[i - pixelBytes] & 0xFF;
      int pa = Math.abs(b - c);
      int pb = Math.abs(a - c);
      int pc = Math.abs(a + b - 2 * c);
      row[i] += (byte) (pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
    }
  }

  /** Turns one unfiltered row into RGB bytes, {@code step} apart. */
  private void expand(byte[] row, int columns, byte[] rgb, int at, int step) {
    int to = at;
    for (int x = 0; x < columns; x++, to += step) {
      switch (colour) {
        case RGB, RGBA -> {
          int from = x * samples() * depth / 8;
          int next = depth / 8;
          rgb[to] = row[from];
          rgb[to + 1] = row[from + next];
          rgb[to + 2] = row[from + 2 * next];
        }
        case PALETTE -> {
          int from = 3 * packed(row, x);
          rgb[to] = palette[from];
          rgb[to + 1] = palette[from + 1];
          rgb[to + 2] = palette[from + 2];
        }
        default -> {
          byte grey = grey(row, x);
          rgb[to] = grey;
          rgb[to + 1] = grey;
          rgb[to + 2] = grey;
        }
      }
    }
  }

  private byte grey(byte[] row, int x) {
    if (colour == GREY_ALPHA) {
      return row[2 * x * depth / 8];
    }
    if (depth == 16) {
      // Pillow keeps 16 bits and then clips: every value above 255 is white.
      return row[2 * x] == 0 ? row[2 * x + 1] : (byte) 255;
    }
    return (byte) (packed(row, x) * (255 / ((1 << depth) - 1)));
  }

  /** Sample {@code x} of a row of 1, 2, 4 or 8 bits a sample. */
  private int packed(byte[] row, int x) {
    int bit = x * depth;
    return row[bit >> 3] >> (8 - depth - (bit & 7)) & ((1 << depth) - 1);
  }

  /** The IDAT chunks, seen as one compressed stream. */
  private static final class IdatStream implements AutoCloseable {
    private final byte[] data;
    private final Inflater inflater = new Inflater();
    private final byte[] filter = new byte[1];
    private int[] ranges = new int[16];
    private int count;
    private int fed;
    long bytes;

    IdatStream(byte[] data) {
      this.data = data;
    }

    void add(ByteCursor body) {
      if (2 * count == ranges.length) {
        ranges = Arrays.copyOf(ranges, 2 * ranges.length);
      }
      ranges[2 * count] = body.position();
      ranges[2 * count + 1] = body.remaining();
      count++;
      bytes += body.remaining();
    }

    int readFilter() throws DecodeException {
      read(filter);
      return filter[0];
    }

    /** Fills a buffer with decompressed bytes. */
    void read(byte[] to) throws DecodeException {
      int at = 0;
      try {
        while (at < to.length) {
          int n = inflater.inflate(to, at, to.length - at);
          at += n;
          if (n == 0) {
            if (!inflater.needsInput() || fed == count) {
              throw DecodeException.truncated(FORMAT);
            }
            inflater.setInput(data, ranges[2 * fed], ranges[2 * fed + 1]);
            fed++;
          }
        }
      } catch (DataFormatException e) {
        throw DecodeException.damaged(FORMAT, "the compressed pixels are broken");
      }
    }

    @Override
    public void close() {
      inflater.end();
    }
  }
}
