package io.minigpt4.image;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * TIFF (revision 6.0): the first page; strips and tiles, interleaved or in planes, of grey,
 * palette, RGB and CMYK samples of up to 16 bits, uncompressed or compressed by LZW, Deflate,
 * PackBits, fax codes or JPEG. The orientation tag is applied, as Pillow does.
 */
final class TiffDecoder {
  static final String FORMAT = "TIFF";

  private static final int WIDTH = 256;
  private static final int HEIGHT = 257;
  private static final int BITS_PER_SAMPLE = 258;
  private static final int COMPRESSION = 259;
  private static final int PHOTOMETRIC = 262;
  private static final int FILL_ORDER = 266;
  private static final int STRIP_OFFSETS = 273;
  private static final int ORIENTATION = 274;
  private static final int SAMPLES_PER_PIXEL = 277;
  private static final int ROWS_PER_STRIP = 278;
  private static final int STRIP_BYTES = 279;
  private static final int PLANAR = 284;
  private static final int T4_OPTIONS = 292;
  private static final int PREDICTOR = 317;
  private static final int COLOUR_MAP = 320;
  private static final int TILE_WIDTH = 322;
  private static final int TILE_HEIGHT = 323;
  private static final int TILE_OFFSETS = 324;
  private static final int TILE_BYTES = 325;
  private static final int EXTRA_SAMPLES = 338;
  private static final int SAMPLE_FORMAT = 339;
  private static final int JPEG_TABLES = 347;

  private static final int MAX_SAMPLES = 8;

  /** The tags above; others are passed over. */
  private static final Set<Integer> KNOWN =
      Set.of(
          WIDTH,
          HEIGHT,
          BITS_PER_SAMPLE,
          COMPRESSION,
          PHOTOMETRIC,
          FILL_ORDER,
          STRIP_OFFSETS,
          ORIENTATION,
          SAMPLES_PER_PIXEL,
          ROWS_PER_STRIP,
          STRIP_BYTES,
          PLANAR,
          T4_OPTIONS,
          PREDICTOR,
          COLOUR_MAP,
          TILE_WIDTH,
          TILE_HEIGHT,
          TILE_OFFSETS,
          TILE_BYTES,
          EXTRA_SAMPLES,
          SAMPLE_FORMAT,
          JPEG_TABLES);

  /** More strips or tiles than a picture within the limits can have. */
  private static final int MAX_VALUES = 1 << 22;

  private static final int MIN_TILE = 16;

  private final byte[] data;
  private final PictureOptions options;
  private final Map<Integer, long[]> tags = new HashMap<>();
  private final boolean little;

  private TiffDecoder(byte[] data, PictureOptions options) {
    this.data = data;
    this.options = options;
    this.little = data[0] == 'I';
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    TiffDecoder decoder = new TiffDecoder(data, options);
    decoder.readDirectory();
    Picture stored = decoder.picture();
    long orientation = decoder.number(ORIENTATION, Orientation.NORMAL);
    boolean known = orientation >= 1 && orientation <= 8;
    Picture upright = known ? Orientation.upright(stored, (int) orientation) : stored;
    return new Decoded(upright, Orientation.NORMAL);
  }

  private int u16(ByteCursor in) throws DecodeException {
    return little ? in.u16le() : in.u16be();
  }

  private long u32(ByteCursor in) throws DecodeException {
    return little ? in.u32le() : in.u32be();
  }

  /** Reads the tags of the first page whose values are whole numbers. */
  private void readDirectory() throws DecodeException {
    ByteCursor in = new ByteCursor(data, FORMAT);
    in.skip(2);
    if (u16(in) == 43) {
      throw DecodeException.unsupported(FORMAT, "64-bit offsets (BigTIFF)");
    }
    in.seek(u32(in));
    int entries = u16(in);
    for (int i = 0; i < entries; i++) {
      ByteCursor entry = in.slice(12);
      int tag = u16(entry);
      int type = u16(entry);
      long count = u32(entry);
      int bytes =
          switch (type) {
            case 1, 6, 7 -> 1;
            case 3, 8 -> 2;
            case 4, 9 -> 4;
            default -> 0;
          };
      if (bytes == 0 || !KNOWN.contains(tag) || tags.containsKey(tag)) {
        continue;
      }
      if (count > MAX_VALUES) {
        throw DecodeException.damaged(FORMAT, "a tag of " + count + " values");
      }
      if (count * bytes > 4) {
        long offset = u32(entry);
        entry = new ByteCursor(data, FORMAT);
        entry.seek(offset);
      }
      entry.need(count * bytes);
      long[] values = new long[(int) count];
      for (int k = 0; k < values.length; k++) {
        values[k] =
            switch (bytes) {
              case 1 -> entry.u8();
              case 2 -> u16(entry);
              default -> u32(entry);
            };
      }
      tags.put(tag, values);
    }
  }

  private long number(int tag, long missing) {
    long[] values = tags.get(tag);
    return values == null || values.length == 0 ? missing : values[0];
  }

  private int small(int tag, int missing) {
    return (int) Math.min(number(tag, missing), Integer.MAX_VALUE);
  }

  private long[] required(int tag, String name) throws DecodeException {
    long[] values = tags.get(tag);
    if (values == null || values.length == 0) {
      throw DecodeException.damaged(FORMAT, "no " + name);
    }
    return values;
  }

  private Picture picture() throws DecodeException {
    long w = required(WIDTH, "width")[0];
    long h = required(HEIGHT, "height")[0];
    options.check(FORMAT, w, h);
    int width = (int) w;
    int height = (int) h;
    TiffSamples samples = samples();
    boolean tiled = tags.containsKey(TILE_OFFSETS);
    long[] offsets = required(tiled ? TILE_OFFSETS : STRIP_OFFSETS, "positions of the pixel data");
    long[] lengths = required(tiled ? TILE_BYTES : STRIP_BYTES, "lengths of the pixel data");
    long tileWidth = tiled ? number(TILE_WIDTH, 0) : width;
    long tileHeight = tiled ? number(TILE_HEIGHT, 0) : Math.min(number(ROWS_PER_STRIP, h), h);
    options.check(FORMAT + " tile", tileWidth, tileHeight);
    if (tiled && (tileWidth < MIN_TILE || tileHeight < MIN_TILE)) {
      throw DecodeException.damaged(FORMAT, "tiles of " + tileWidth + "×" + tileHeight + " pixels");
    }
    checkTotal(lengths);
    int across = (int) ((width + tileWidth - 1) / tileWidth);
    int down = (int) ((height + tileHeight - 1) / tileHeight);
    int planes = samples.planar() ? samples.count() : 1;
    if ((long) across * down * planes > Math.min(offsets.length, lengths.length)) {
      throw DecodeException.damaged(FORMAT, "too few strips or tiles");
    }
    byte[] rgb = new byte[3 * width * height];
    byte[][] chunk = new byte[planes][];
    for (int y = 0; y < down; y++) {
      int top = (int) (y * tileHeight);
      int rows = (int) Math.min(tileHeight, (long) height - top);
      for (int x = 0; x < across; x++) {
        int left = (int) (x * tileWidth);
        for (int p = 0; p < planes; p++) {
          int i = (p * down + y) * across + x;
          chunk[p] =
              decompress(
                  samples,
                  offsets[i],
                  lengths[i],
                  (int) tileWidth,
                  tiled ? (int) tileHeight : rows);
        }
        int columns = (int) Math.min(tileWidth, (long) width - left);
        for (int row = 0; row < rows; row++) {
          int to = 3 * ((top + row) * width + left);
          samples.toRgb(chunk, (int) tileWidth, row, columns, rgb, to);
        }
      }
    }
    return new Picture(width, height, rgb);
  }

  /** Strips may share bytes, but not so that a small file takes for ever. */
  private void checkTotal(long[] lengths) throws DecodeException {
    long total = 0;
    for (long length : lengths) {
      total += length;
    }
    if (total > 4L * data.length) {
      throw DecodeException.damaged(FORMAT, "strips or tiles that overlap");
    }
  }

  private TiffSamples samples() throws DecodeException {
    int photometric = small(PHOTOMETRIC, 0);
    int compression = small(COMPRESSION, 1);
    int count = small(SAMPLES_PER_PIXEL, 1);
    int bits = small(BITS_PER_SAMPLE, 1);
    for (long b : tags.getOrDefault(BITS_PER_SAMPLE, new long[0])) {
      if (b != bits) {
        throw DecodeException.unsupported(FORMAT, "samples of different sizes");
      }
    }
    if (count < 1 || count > MAX_SAMPLES) {
      throw DecodeException.unsupported(FORMAT, count + " samples a pixel");
    }
    if (number(SAMPLE_FORMAT, 1) != 1) {
      throw DecodeException.unsupported(FORMAT, "signed or floating-point samples");
    }
    boolean jpeg = compression == TiffCompression.JPEG;
    boolean fits =
        switch (photometric) {
          case TiffSamples.WHITE_IS_ZERO, TiffSamples.BLACK_IS_ZERO ->
              bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16;
          case TiffSamples.PALETTE -> bits == 1 || bits == 2 || bits == 4 || bits == 8;
          case TiffSamples.RGB -> count >= 3 && (bits == 8 || bits == 16);
          case TiffSamples.CMYK -> count >= 4 && (bits == 8 || bits == 16);
          case TiffSamples.YCC -> jpeg && count == 3 && bits == 8;
          default -> false;
        };
    boolean planar = number(PLANAR, 1) == 2 && count > 1;
    boolean jpegFits = bits == 8 && (planar || count == 1 || count == 3);
    if (!fits || (bits < 8 && count > 1) || (jpeg && !jpegFits)) {
      throw DecodeException.unsupported(
          FORMAT, count + " samples of " + bits + " bits and colour interpretation " + photometric);
    }
    if (planar && photometric == TiffSamples.YCC) {
      throw DecodeException.unsupported(FORMAT, "JPEG in planes");
    }
    boolean associated = number(EXTRA_SAMPLES, 0) == 1 && photometric == TiffSamples.RGB;
    byte[] palette = new byte[3 * 256];
    if (photometric == TiffSamples.PALETTE) {
      long[] map = required(COLOUR_MAP, "colour map");
      int colours = Math.min(map.length / 3, 256);
      for (int i = 0; i < 3 * colours; i++) {
        palette[i] = (byte) (map[i % 3 * (map.length / 3) + i / 3] >> 8);
      }
    }
    return new TiffSamples(
        photometric, count, bits, planar, associated && count > 3, little, palette);
  }

  /** Reads one strip or tile of one plane. */
  private byte[] decompress(TiffSamples samples, long offset, long length, int width, int rows)
      throws DecodeException {
    ByteCursor in = new ByteCursor(data, FORMAT);
    in.seek(offset);
    ByteCursor body = in.slice(length);
    int compression = small(COMPRESSION, 1);
    int perPixel = samples.planar() ? 1 : samples.count();
    long rowBytes = ((long) width * perPixel * samples.bits() + 7) / 8;
    if (rowBytes * rows > 3 * Picture.MAX_PIXELS) {
      throw DecodeException.tooLarge(
          "a TIFF strip of " + rowBytes * rows + " bytes", 3 * Picture.MAX_PIXELS + " bytes");
    }
    if (compression == TiffCompression.JPEG) {
      return jpeg(samples, body, width, rows, perPixel);
    }
    if (number(FILL_ORDER, 1) == 2) {
      body = TiffCompression.reversed(body);
    }
    byte[] out =
        TiffCompression.decompress(
            compression, body, width, rows, (int) rowBytes, number(T4_OPTIONS, 0));
    long predictor = number(PREDICTOR, 1);
    boolean predicts = compression == TiffCompression.LZW || TiffCompression.isDeflate(compression);
    if (predicts && predictor == 2) {
      TiffCompression.addDifferences(out, (int) rowBytes, perPixel, samples.bits(), little);
    } else if (predicts && predictor != 1) {
      throw DecodeException.unsupported(FORMAT, "predictor " + predictor);
    }
    return out;
  }

  private byte[] jpeg(TiffSamples samples, ByteCursor body, int width, int rows, int perPixel)
      throws DecodeException {
    long[] tables = tags.getOrDefault(JPEG_TABLES, new long[0]);
    byte[] tableBytes = new byte[tables.length];
    for (int i = 0; i < tables.length; i++) {
      tableBytes[i] = (byte) tables[i];
    }
    Picture strip =
        JpegDecoder.decodeStrip(
            tableBytes,
            body,
            samples.isYcc(),
            options.withMaxPixels(Math.min(options.maxPixels(), (long) width * rows)));
    if (strip.width() != width || strip.height() < rows) {
      throw DecodeException.damaged(FORMAT, "a JPEG of another size than its strip");
    }
    if (perPixel == 3) {
      return strip.rgb();
    }
    byte[] grey = new byte[width * rows];
    for (int i = 0; i < grey.length; i++) {
      grey[i] = strip.rgb()[3 * i];
    }
    return grey;
  }
}
