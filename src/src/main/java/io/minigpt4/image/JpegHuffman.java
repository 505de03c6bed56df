package io.minigpt4.image;

import java.util.Arrays;

/** A Huffman table of a JPEG (ITU-T T.81, annex C and F.2.2.3). */
final class JpegHuffman {
  /** Codes up to this many bits are found with one look into a table. */
  static final int FAST_BITS = 9;

  private static final int MAX_BITS = 16;

  /** By the next FAST_BITS bits: code length · 256 + symbol, or 0 if the code is longer. */
  private final short[] fast = new short[1 << FAST_BITS];

  /** Largest code of each length, left-aligned to 16 bits, plus one; 0 if there is none. */
  private final int[] limit = new int[MAX_BITS + 2];

  /** What to add to a code of each length to get its symbol's index. */
  private final int[] offset = new int[MAX_BITS + 1];

  private final byte[] symbols;

  /**
   * @param counts how many codes there are of each length 1–16
   * @param symbols the symbols in order of their codes
   */
  JpegHuffman(int[] counts, byte[] symbols) throws DecodeException {
    this.symbols = symbols;
    int code = 0;
    int index = 0;
    for (int length = 1; length <= MAX_BITS; length++) {
      offset[length] = index - code;
      for (int i = 0; i < counts[length - 1]; i++, code++, index++) {
        if (code >= 1 << length) {
          throw DecodeException.damaged(JpegDecoder.FORMAT, "an impossible Huffman table");
        }
        if (length <= FAST_BITS) {
          int shift = FAST_BITS - length;
          short entry = (short) (length << 8 | (symbols[index] & 0xFF));
          Arrays.fill(fast, code << shift, (code + 1) << shift, entry);
        }
      }
      limit[length] = code << (MAX_BITS - length);
      code <<= 1;
    }
    limit[MAX_BITS + 1] = Integer.MAX_VALUE;
  }

  /** Reads a code and returns its symbol. */
  int decode(JpegBits bits) throws DecodeException {
    int next = bits.peek16();
    int entry = fast[next >> (16 - FAST_BITS)];
    if (entry != 0) {
      bits.drop(entry >> 8);
      return entry & 0xFF;
    }
    int length = FAST_BITS + 1;
    while (next >= limit[length]) {
      length++;
    }
    if (length > MAX_BITS) {
      throw DecodeException.damaged(JpegDecoder.FORMAT, "an unknown code in the pixel data");
    }
    bits.drop(length);
    return symbols[(next >> (16 - length)) + offset[length]] & 0xFF;
  }
}
