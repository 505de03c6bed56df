package io.minigpt4.image;

import java.util.Arrays;

/** A prefix code of lossless WebP (RFC 9649, section 3.7.2): canonical, bits in stream order. */
final class Vp8lHuffman {
  private static final int MAX_BITS = 15;
  private static final int FAST_BITS = 7;

  /** In which order the lengths of the code-length code are given. */
  private static final int[] LENGTH_ORDER = {
    17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  };

  /** By the next bits: symbol · 16 + length, or −1 if the code is longer. */
  private final int[] fast;

  private final int fastBits;

  /** Symbols in order of their codes. */
  private final char[] sorted;

  /** Number of codes of each length. */
  private final int[] counts = new int[MAX_BITS + 1];

  /**
   * @param lengths code length of each symbol, 0 for unused ones; one used symbol alone takes no
   *     bits at all
   */
  Vp8lHuffman(int[] lengths) throws DecodeException {
    int used = 0;
    int longest = 0;
    for (int length : lengths) {
      if (length > 0) {
        counts[length]++;
        used++;
        longest = Math.max(longest, length);
      }
    }
    sorted = new char[used];
    int[] next = new int[MAX_BITS + 2];
    for (int length = 1; length <= MAX_BITS; length++) {
      next[length + 1] = next[length] + counts[length];
    }
    for (int symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] > 0) {
        sorted[next[lengths[symbol]]++] = (char) symbol;
      }
    }
    if (used == 1) {
      Arrays.fill(counts, 0);
      fastBits = 0;
      fast = new int[] {sorted[0] << 4};
      return;
    }
    int space = 1 << MAX_BITS;
    for (int length = 1; length <= MAX_BITS; length++) {
      space -= counts[length] << (MAX_BITS - length);
    }
    if (space != 0) {
      throw DecodeException.damaged(WebpDecoder.FORMAT, "an impossible prefix code");
    }
    fastBits = Math.min(longest, FAST_BITS);
    fast = new int[1 << fastBits];
    fillFast();
  }

  private void fillFast() {
    Arrays.fill(fast, -1);
    int code = 0;
    int index = 0;
    for (int length = 1; length <= fastBits; length++) {
      for (int i = 0; i < counts[length]; i++, code++, index++) {
        int reversed = Integer.reverse(code) >>> (32 - length);
        for (int at = reversed; at < fast.length; at += 1 << length) {
          fast[at] = sorted[index] << 4 | length;
        }
      }
      code <<= 1;
    }
  }

  int decode(Vp8lBits bits) throws DecodeException {
    int entry = fast[bits.peek(fastBits)];
    if (entry >= 0) {
      bits.drop(entry & 15);
      return entry >> 4;
    }
    int next = bits.peek(MAX_BITS);
    int code = 0;
    int first = 0;
    int index = 0;
    for (int length = 1; length <= MAX_BITS; length++) {
      code = code << 1 | (next & 1);
      next >>= 1;
      if (code - first < counts[length]) {
        bits.drop(length);
        return sorted[index + code - first];
      }
      index += counts[length];
      first = (first + counts[length]) << 1;
    }
    throw DecodeException.damaged(WebpDecoder.FORMAT, "an unknown code in the pixel data");
  }

  /** Reads a code's description. */
  static Vp8lHuffman read(Vp8lBits bits, int symbols) throws DecodeException {
    int[] lengths = new int[symbols];
    if (bits.flag()) {
      boolean two = bits.flag();
      int first = bits.take(bits.flag() ? 8 : 1);
      int second = two ? bits.take(8) : first;
      if (first >= symbols || second >= symbols) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "an impossible prefix code");
      }
      lengths[first] = 1;
      lengths[second] = 1;
    } else {
      int[] ofLengths = new int[LENGTH_ORDER.length];
      int given = bits.take(4) + 4;
      for (int i = 0; i < given; i++) {
        ofLengths[LENGTH_ORDER[i]] = bits.take(3);
      }
      readLengths(bits, new Vp8lHuffman(ofLengths), lengths);
    }
    return new Vp8lHuffman(lengths);
  }

  private static void readLengths(Vp8lBits bits, Vp8lHuffman code, int[] lengths)
      throws DecodeException {
    int left = lengths.length;
    if (bits.flag()) {
      left = 2 + bits.take(2 + 2 * bits.take(3));
      if (left > lengths.length) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "an impossible prefix code");
      }
    }
    int previous = 8;
    int at = 0;
    while (at < lengths.length && left-- > 0) {
      int symbol = code.decode(bits);
      if (symbol < 16) {
        lengths[at++] = symbol;
        previous = symbol == 0 ? previous : symbol;
        continue;
      }
      int repeat =
          switch (symbol) {
            case 16 -> 3 + bits.take(2);
            case 17 -> 3 + bits.take(3);
            default -> 11 + bits.take(7);
          };
      if (repeat > lengths.length - at) {
        throw DecodeException.damaged(WebpDecoder.FORMAT, "an impossible prefix code");
      }
      Arrays.fill(lengths, at, at + repeat, symbol == 16 ? previous : 0);
      at += repeat;
    }
  }
}
