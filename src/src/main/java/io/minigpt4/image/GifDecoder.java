package io.minigpt4.image;

import java.util.Arrays;

/**
 * GIF (87a and 89a): the first frame on its logical screen. As in Pillow the rest of the screen is
 * the transparent colour if there is one, else colour 0, and a frame that is larger than the screen
 * enlarges it.
 */
final class GifDecoder {
  private static final String FORMAT = "GIF";
  private static final int MAX_CODE_BITS = 12;

  // Interlacing (GIF89a, appendix E): first row and step of each pass.
  private static final int[] PASS_START = {0, 4, 2, 1};
  private static final int[] PASS_STEP = {8, 8, 4, 2};

  private final ByteCursor in;
  private final PictureOptions options;
  private int transparent = -1;

  private GifDecoder(byte[] data, PictureOptions options) {
    this.in = new ByteCursor(data, FORMAT);
    this.options = options;
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    GifDecoder decoder = new GifDecoder(data, options);
    return new Decoded(decoder.decode(), Orientation.NORMAL);
  }

  private Picture decode() throws DecodeException {
    in.skip(6);
    int screenWidth = in.u16le();
    int screenHeight = in.u16le();
    int flags = in.u8();
    in.skip(2);
    byte[] palette = (flags & 0x80) == 0 ? greys() : readPalette(flags);
    seekFirstFrame();
    int left = in.u16le();
    int top = in.u16le();
    int width = in.u16le();
    int height = in.u16le();
    flags = in.u8();
    if ((flags & 0x80) != 0) {
      palette = readPalette(flags);
    }
    options.check(FORMAT + " frame", width, height);
    screenWidth = Math.max(screenWidth, left + width);
    screenHeight = Math.max(screenHeight, top + height);
    options.check(FORMAT, screenWidth, screenHeight);
    byte[] frame = readPixels(width * height);

    int outside = Math.max(transparent, 0);
    byte[] rgb = new byte[3 * screenWidth * screenHeight];
    for (int i = 0; i < screenWidth * screenHeight; i++) {
      System.arraycopy(palette, 3 * outside, rgb, 3 * i, 3);
    }
    boolean interlaced = (flags & 0x40) != 0;
    int from = 0;
    for (int pass = 0; pass < (interlaced ? 4 : 1); pass++) {
      int step = interlaced ? PASS_STEP[pass] : 1;
      for (int y = interlaced ? PASS_START[pass] : 0; y < height; y += step) {
        int to = 3 * ((top + y) * screenWidth + left);
        for (int x = 0; x < width; x++, to += 3) {
          System.arraycopy(palette, 3 * (frame[from++] & 0xFF), rgb, to, 3);
        }
      }
    }
    return new Picture(screenWidth, screenHeight, rgb);
  }

  /** Reads extensions up to the first image descriptor and moves behind its separator. */
  private void seekFirstFrame() throws DecodeException {
    while (true) {
      switch (in.u8()) {
        case ',' -> {
          return;
        }
        case ';' -> throw DecodeException.damaged(FORMAT, "no frame in it");
        case '!' -> {
          int label = in.u8();
          int size = in.u8();
          ByteCursor block = in.slice(size);
          if (label == 0xF9 && size >= 4) {
            int flags = block.u8();
            block.skip(2);
            transparent = (flags & 1) != 0 ? block.u8() : transparent;
          }
          while (size != 0) {
            size = in.u8();
            in.skip(size);
          }
        }
        default -> {
          // Pillow passes over bytes that mean nothing here.
        }
      }
    }
  }

  private byte[] readPalette(int flags) throws DecodeException {
    int colours = 2 << (flags & 7);
    ByteCursor body = in.slice(3L * colours);
    byte[] palette = new byte[3 * 256];
    System.arraycopy(in.data(), body.position(), palette, 0, 3 * colours);
    byte[] greys = greys();
    // Pillow takes a palette of greys in order for no palette, so that it goes on to white.
    boolean ramp = Arrays.equals(palette, 0, 3 * colours, greys, 0, 3 * colours);
    return ramp ? greys : palette;
  }

  private static byte[] greys() {
    byte[] palette = new byte[3 * 256];
    for (int i = 0; i < palette.length; i++) {
      palette[i] = (byte) (i / 3);
    }
    return palette;
  }

  /** Reads the sub-blocks of a frame and undoes their LZW compression (GIF89a, appendix F). */
  private byte[] readPixels(int count) throws DecodeException {
    int codeBits = in.u8();
    if (codeBits < 1 || codeBits > 11) {
      throw DecodeException.damaged(FORMAT, "an LZW code size of " + codeBits);
    }
    // A code of at least two bits yields at most one table entry of 4096 pixels.
    if (count / 4096 > 4L * in.remaining()) {
      throw DecodeException.truncated(FORMAT);
    }
    byte[] out = new byte[count];
    Lzw lzw = new Lzw(codeBits, out);
    int buffer = 0;
    int bits = 0;
    while (lzw.written < count) {
      int size = in.u8();
      if (size == 0) {
        throw DecodeException.truncated(FORMAT);
      }
      in.need(size);
      for (int i = 0; i < size && lzw.written < count; i++) {
        buffer |= in.u8() << bits;
        bits += 8;
        while (bits >= lzw.width && lzw.written < count) {
          int code = buffer & ((1 << lzw.width) - 1);
          buffer >>>= lzw.width;
          bits -= lzw.width;
          lzw.accept(code);
        }
      }
    }
    return out;
  }

  /** The decompressor: a table of strings, each a prefix and one more pixel. */
  private static final class Lzw {
    private final byte[] out;
    private final int clear;
    private final int codeBits;
    private final short[] prefix = new short[1 << MAX_CODE_BITS];
    private final byte[] suffix = new byte[1 << MAX_CODE_BITS];
    private final short[] length = new short[1 << MAX_CODE_BITS];
    private int next;
    private int previous = -1;
    int width;
    int written;

    Lzw(int codeBits, byte[] out) {
      this.out = out;
      this.codeBits = codeBits;
      this.clear = 1 << codeBits;
      for (int i = 0; i < clear; i++) {
        suffix[i] = (byte) i;
        length[i] = 1;
      }
      reset();
    }

    private void reset() {
      next = clear + 2;
      width = codeBits + 1;
      previous = -1;
    }

    void accept(int code) throws DecodeException {
      if (code == clear) {
        reset();
        return;
      }
      if (code == clear + 1) {
        throw DecodeException.truncated(FORMAT);
      }
      if (code > next || (code == next && previous < 0) || (previous < 0 && code >= clear)) {
        throw DecodeException.damaged(FORMAT, "an unknown code in the pixel data");
      }
      if (previous >= 0 && next < 1 << MAX_CODE_BITS) {
        prefix[next] = (short) previous;
        length[next] = (short) (length[previous] + 1);
        suffix[next] = first(code == next ? previous : code);
        next++;
        if (next == 1 << width && width < MAX_CODE_BITS) {
          width++;
        }
      } else if (code >= next) {
        throw DecodeException.damaged(FORMAT, "an unknown code in the pixel data");
      }
      write(code);
      previous = code;
    }

    private byte first(int code) {
      int c = code;
      while (length[c] > 1) {
        c = prefix[c];
      }
      return suffix[c];
    }

    private void write(int code) {
      int c = code;
      int end = written + length[code];
      for (int at = end - 1; at >= written; at--) {
        if (at < out.length) {
          out[at] = suffix[c];
        }
        c = prefix[c];
      }
      written = Math.min(end, out.length);
    }
  }
}
