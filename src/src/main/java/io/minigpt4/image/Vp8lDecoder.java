package io.minigpt4.image;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HexFormat;

/**
 * Lossless WebP (RFC 9649, section 3): entropy-coded pixels, and transforms to undo upon them.
 * Pixels are alpha, red, green, blue from the highest byte to the lowest.
 */
final class Vp8lDecoder {
  private static final int SIGNATURE = 0x2F;
  private static final int LITERALS = 256;
  private static final int LENGTH_CODES = 24;
  private static final int DISTANCE_CODES = 40;
  private static final int MAX_CACHE_BITS = 11;

  // Section 3.6.2.2: the 120 nearest neighbours; 16 · rows above + 8 − columns to the left.
  private static final byte[] NEIGHBOURS =
      HexFormat.of()
          .parseHex(
              "1807171928062729161a262a38053739151b363a252b48044749141c353b"
                  + "464a242c58454b343c035759131d565a232d444c555b333d68026769121e"
                  + "666a222e545c434d656b323e78017779535d111f646c424e767a212f757b"
                  + "313f636d525e00747c414f1020626e30737d515f40727e616f50717f6070");

  private final Vp8lBits bits;
  private int width;
  private int height;

  private Vp8lDecoder(Vp8lBits bits) {
    this.bits = bits;
  }

  /** Decodes a VP8L chunk's content; alpha is dropped. */
  static Picture decode(ByteCursor in, PictureOptions options) throws DecodeException {
    if (in.u8() != SIGNATURE) {
      throw DecodeException.damaged(WebpDecoder.FORMAT, "a lossless stream without its signature");
    }
    return new Vp8lDecoder(new Vp8lBits(in)).decode(options);
  }

  private Picture decode(PictureOptions options) throws DecodeException {
    width = bits.take(14) + 1;
    height = bits.take(14) + 1;
    options.check(WebpDecoder.FORMAT, width, height);
    bits.take(1);
    if (bits.take(3) != 0) {
      throw DecodeException.unsupported(WebpDecoder.FORMAT, "a newer lossless version");
    }
    Deque<Vp8lTransform> transforms = new ArrayDeque<>();
    int packedWidth = width;
    int seen = 0;
    while (bits.flag()) {
      int type = bits.take(2);
      if ((seen & 1 << type) != 0) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "a transform twice");
      }
      seen |= 1 << type;
      Vp8lTransform transform = readTransform(type, packedWidth);
      packedWidth = transform.packedWidth();
      transforms.push(transform);
    }
    int[] pixels = readPixels(packedWidth, height, true);
    for (Vp8lTransform transform : transforms) {
      pixels = transform.undo(pixels, height);
    }
    byte[] rgb = new byte[3 * width * height];
    for (int i = 0; i < pixels.length; i++) {
      rgb[3 * i] = (byte) (pixels[i] >> 16);
      rgb[3 * i + 1] = (byte) (pixels[i] >> 8);
      rgb[3 * i + 2] = (byte) pixels[i];
    }
    return new Picture(width, height, rgb);
  }

  private Vp8lTransform readTransform(int type, int imageWidth) throws DecodeException {
    return switch (type) {
      case Vp8lTransform.PREDICTOR, Vp8lTransform.CROSS_COLOUR -> {
        int blockBits = bits.take(3) + 2;
        int[] blocks = readPixels(blocks(imageWidth, blockBits), blocks(height, blockBits), false);
        yield new Vp8lTransform(type, imageWidth, blockBits, blocks);
      }
      case Vp8lTransform.COLOUR_INDEXING -> {
        int size = bits.take(8) + 1;
        int[] differences = readPixels(size, 1, false);
        int[] table = new int[256];
        int previous = 0;
        for (int i = 0; i < size; i++) {
          previous = Vp8lTransform.add(previous, differences[i]);
          table[i] = previous;
        }
        int packing = size <= 2 ? 3 : size <= 4 ? 2 : size <= 16 ? 1 : 0;
        yield new Vp8lTransform(type, imageWidth, packing, table);
      }
      default -> new Vp8lTransform(type, imageWidth, 0, new int[0]);
    };
  }

  /** Number of blocks of {@code 1 << bits} pixels that cover a length. */
  private static int blocks(int length, int bits) {
    return (length + (1 << bits) - 1) >> bits;
  }

  /** The five prefix codes that a block of the image is coded with. */
  private record Codes(
      Vp8lHuffman green,
      Vp8lHuffman red,
      Vp8lHuffman blue,
      Vp8lHuffman alpha,
      Vp8lHuffman distance) {}

  /**
   * Reads an entropy-coded image (section 3.6).
   *
   * @param main whether it is the image itself, which may change codes from block to block
   */
  private int[] readPixels(int columns, int rows, boolean main) throws DecodeException {
    int cacheBits = 0;
    if (bits.flag()) {
      cacheBits = bits.take(4);
      if (cacheBits < 1 || cacheBits > MAX_CACHE_BITS) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "an impossible colour cache");
      }
    }
    int blockBits = 0;
    int[] groupOfBlock = {};
    int groups = 1;
    if (main && bits.flag()) {
      blockBits = bits.take(3) + 2;
      groupOfBlock = readPixels(blocks(columns, blockBits), blocks(rows, blockBits), false);
      for (int i = 0; i < groupOfBlock.length; i++) {
        groupOfBlock[i] = groupOfBlock[i] >> 8 & 0xFFFF;
        groups = Math.max(groups, groupOfBlock[i] + 1);
      }
    }
    int cacheSize = cacheBits == 0 ? 0 : 1 << cacheBits;
    Codes[] codes = new Codes[groups];
    for (int i = 0; i < groups; i++) {
      codes[i] =
          new Codes(
              Vp8lHuffman.read(bits, LITERALS + LENGTH_CODES + cacheSize),
              Vp8lHuffman.read(bits, LITERALS),
              Vp8lHuffman.read(bits, LITERALS),
              Vp8lHuffman.read(bits, LITERALS),
              Vp8lHuffman.read(bits, DISTANCE_CODES));
    }
    int[] out = new int[columns * rows];
    int[] cache = new int[cacheSize];
    int blocksAcross = blocks(columns, blockBits);
    int at = 0;
    while (at < out.length) {
      int group = 0;
      if (groupOfBlock.length > 0) {
        int block = ((at / columns) >> blockBits) * blocksAcross + ((at % columns) >> blockBits);
        group = groupOfBlock[block];
      }
      at = readSymbol(codes[group], out, at, columns, cache, cacheBits);
    }
    return out;
  }

  /** Reads one literal, cached colour or copy, and returns the position behind it. */
  private int readSymbol(Codes code, int[] out, int at, int columns, int[] cache, int cacheBits)
      throws DecodeException {
    int symbol = code.green.decode(bits);
    int end = at + 1;
    if (symbol < LITERALS) {
      int red = code.red.decode(bits);
      int blue = code.blue.decode(bits);
      out[at] = code.alpha.decode(bits) << 24 | red << 16 | symbol << 8 | blue;
    } else if (symbol < LITERALS + LENGTH_CODES) {
      int length = readLength(symbol - LITERALS);
      int distance = distance(readLength(code.distance.decode(bits)), columns);
      if (distance > at || length > out.length - at) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "a copy from outside the picture");
      }
      end = at + length;
      for (int i = at; i < end; i++) {
        out[i] = out[i - distance];
      }
    } else {
      out[at] = cache[symbol - LITERALS - LENGTH_CODES];
    }
    if (cacheBits > 0) {
      for (int i = at; i < end; i++) {
        cache[(0x1E35A7BD * out[i]) >>> (32 - cacheBits)] = out[i];
      }
    }
    return end;
  }

  /** A length or distance: a prefix code's symbol and extra bits (section 3.6.2.2). */
  private int readLength(int symbol) throws DecodeException {
    if (symbol < 4) {
      return symbol + 1;
    }
    int extra = (symbol - 2) >> 1;
    return ((2 + (symbol & 1)) << extra) + bits.take(extra) + 1;
  }

  /** From a distance as coded, in which small numbers are near neighbours, to pixels back. */
  private static int distance(int coded, int columns) {
    if (coded > NEIGHBOURS.length) {
      return coded - NEIGHBOURS.length;
    }
    int neighbour = NEIGHBOURS[coded - 1];
    return Math.max((neighbour >> 4) * columns + 8 - (neighbour & 15), 1);
  }
}
