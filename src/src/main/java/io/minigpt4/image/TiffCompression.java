package io.minigpt4.image;

import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/** The compressions of TIFF strips and tiles. */
final class TiffCompression {
  static final int NONE = 1;
  static final int CCITT_RUN_LENGTHS = 2;
  static final int CCITT_GROUP3 = 3;
  static final int CCITT_GROUP4 = 4;
  static final int LZW = 5;
  static final int JPEG = 7;
  static final int DEFLATE = 8;
  static final int PACK_BITS = 32773;
  static final int OLD_DEFLATE = 32946;

  private static final String FORMAT = TiffDecoder.FORMAT;
  private static final int LZW_CLEAR = 256;
  private static final int LZW_END = 257;

  /** More than any of the byte-wise compressions can shrink by. */
  private static final long MAX_RATIO = 4096;

  private TiffCompression() {}

  static boolean isDeflate(int compression) {
    return compression == DEFLATE || compression == OLD_DEFLATE;
  }

  /**
   * Decompresses a strip or tile.
   *
   * @param width pixels in a row, which fax codes need
   * @param t4Options tag 292: bit 0 for two-dimensional coding
   */
  static byte[] decompress(
      int compression, ByteCursor in, int width, int rows, int rowBytes, long t4Options)
      throws DecodeException {
    int size = rowBytes * rows;
    boolean fax = compression >= CCITT_RUN_LENGTHS && compression <= CCITT_GROUP4;
    if (fax) {
      if (rowBytes != (width + 7) / 8) {
        throw DecodeException.damaged(FORMAT, "fax codes for more than one bit a pixel");
      }
      CcittDecoder.Variant variant =
          switch (compression) {
            case CCITT_RUN_LENGTHS -> CcittDecoder.Variant.RUN_LENGTHS;
            case CCITT_GROUP4 -> CcittDecoder.Variant.GROUP4;
            default ->
                (t4Options & 1) == 0
                    ? CcittDecoder.Variant.GROUP3
                    : CcittDecoder.Variant.GROUP3_TWO_DIMENSIONAL;
          };
      return new CcittDecoder(in, variant, width).decode(rows);
    }
    if (size > (in.remaining() + 8) * MAX_RATIO) {
      throw DecodeException.truncated(FORMAT);
    }
    byte[] out = new byte[size];
    switch (compression) {
      case NONE -> {
        in.need(size);
        System.arraycopy(in.data(), in.position(), out, 0, size);
      }
      case LZW -> lzw(in, out);
      case DEFLATE, OLD_DEFLATE -> inflate(in, out);
      case PACK_BITS -> unpackBits(in, out);
      default -> throw DecodeException.unsupported(FORMAT, "compression " + compression);
    }
    return out;
  }

  /** The same bytes with their bits in reverse order. */
  static ByteCursor reversed(ByteCursor in) throws DecodeException {
    byte[] out = new byte[in.remaining()];
    for (int i = 0; i < out.length; i++) {
      out[i] = (byte) (Integer.reverse(in.u8()) >>> 24);
    }
    return new ByteCursor(out, FORMAT);
  }

  /** Undoes horizontal differencing (section 14) in place. */
  static void addDifferences(byte[] rows, int rowBytes, int samples, int bits, boolean little)
      throws DecodeException {
    if (bits != 8 && bits != 16) {
      throw DecodeException.unsupported(FORMAT, "differences of " + bits + "-bit samples");
    }
    for (int row = 0; row < rows.length; row += rowBytes) {
      if (bits == 8) {
        for (int i = row + samples; i < row + rowBytes; i++) {
          rows[i] += rows[i - samples];
        }
      } else {
        int low = little ? 0 : 1;
        for (int i = row + 2 * samples; i < row + rowBytes; i += 2) {
          int before = i - 2 * samples;
          int sum = (rows[i + low] & 0xFF) + (rows[before + low] & 0xFF);
          rows[i + low] = (byte) sum;
          rows[i + 1 - low] += (byte) (rows[before + 1 - low] + (sum >> 8));
        }
      }
    }
  }

  private static void inflate(ByteCursor in, byte[] out) throws DecodeException {
    Inflater inflater = new Inflater();
    try (inflater) {
      inflater.setInput(in.data(), in.position(), in.remaining());
      int at = 0;
      while (at < out.length) {
        int n = inflater.inflate(out, at, out.length - at);
        if (n == 0) {
          throw DecodeException.truncated(FORMAT);
        }
        at += n;
      }
    } catch (DataFormatException e) {
      throw DecodeException.damaged(FORMAT, "the compressed pixels are broken");
    }
  }

  private static void unpackBits(ByteCursor in, byte[] out) throws DecodeException {
    int at = 0;
    while (at < out.length) {
      int head = (byte) in.u8();
      if (head == -128) {
        continue;
      }
      int run = head < 0 ? 1 - head : 1 + head;
      int value = head < 0 ? in.u8() : 0;
      for (int i = 0; i < run; i++) {
        int b = head < 0 ? value : in.u8();
        if (at < out.length) {
          out[at++] = (byte) b;
        }
      }
    }
  }

  /** LZW with the highest bit first, whose codes grow one early (section 13). */
  private static void lzw(ByteCursor in, byte[] out) throws DecodeException {
    // Strings are stretches of the output: where each begins, and how long it is.
    int[] starts = new int[4097];
    int[] lengths = new int[4097];
    int next = LZW_END + 1;
    int bits = 9;
    int buffer = 0;
    int available = 0;
    int at = 0;
    int previous = -1;
    int previousLength = 0;
    while (at < out.length) {
      while (available < bits) {
        buffer = buffer << 8 | in.u8();
        available += 8;
      }
      available -= bits;
      int code = buffer >> available & ((1 << bits) - 1);
      if (code == LZW_END) {
        throw DecodeException.truncated(FORMAT);
      }
      if (code == LZW_CLEAR) {
        next = LZW_END + 1;
        bits = 9;
        previous = -1;
        continue;
      }
      // The new string is the previous one and the byte that follows it in the output.
      if (previous >= 0 && next < 4096) {
        starts[next] = previous;
        lengths[next] = previousLength + 1;
        next++;
      }
      if (code >= next) {
        throw DecodeException.damaged(FORMAT, "an unknown code in the pixel data");
      }
      int begin = at;
      if (code < LZW_CLEAR) {
        out[at++] = (byte) code;
      } else {
        int end = Math.min(at + lengths[code], out.length);
        for (int from = starts[code]; at < end; from++) {
          out[at++] = out[from];
        }
      }
      previous = begin;
      previousLength = at - begin;
      if (next >= (1 << bits) - 1 && bits < 12) {
        bits++;
      }
    }
  }
}
