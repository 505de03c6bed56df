package io.minigpt4.image;

import java.util.Arrays;

/**
 * Fax compression of two-level pictures: ITU-T T.4 (one- and two-dimensional) and T.6, as TIFF
 * holds it. Rows come out packed, 1 for black.
 */
final class CcittDecoder {
  /** How rows are coded. */
  enum Variant {
    /** Run lengths, rows aligned to bytes, no end-of-line codes. */
    RUN_LENGTHS,
    /** T.4: end-of-line codes, each row by run lengths. */
    GROUP3,
    /** T.4: end-of-line codes, rows by run lengths or relative to the row above. */
    GROUP3_TWO_DIMENSIONAL,
    /** T.6: every row relative to the one above. */
    GROUP4
  }

  private static final String FORMAT = TiffDecoder.FORMAT;

  // Modes of two-dimensional coding beside the distances −3 to 3.
  private static final int PASS = 100;
  private static final int HORIZONTAL = 101;

  // Codes of the run lengths 0–63, then 64, 128, …, 2560 (T.4, tables 2 and 3).
  private static final Codes WHITE =
      new Codes(
          """
      00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100
      110101 101010 101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011
      0010011 0100100 0011000 00000010 00000011 00011010 00011011 00010010 00010011 00010100
      00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101 00000100
      00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000
      01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100 11011 10010 010111
      0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010
      011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011
      010011000 010011001 010011010 011000 010011011 00000001000 00000001100 00000001101
      000000010010 000000010011 000000010100 000000010101 000000010110 000000010111 000000011100
      000000011101 000000011110 000000011111
      """);
  private static final Codes BLACK =
      new Codes(
          """
      0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100
      00000111 000011000 0000010111 0000011000 0000001000 00001100111 00001101000 00001101100
      00000110111 00000101000 00000010111 00000011000 000011001010 000011001011 000011001100
      000011001101 000001101000 000001101001 000001101010 000001101011 000011010010 000011010011
      000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010
      000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 000001100101
      000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000
      000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111
      0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101
      0000001101100 0000001101101 0000001001010 0000001001011 0000001001100 0000001001101
      0000001110010 0000001110011 0000001110100 0000001110101 0000001110110 0000001110111
      0000001010010 0000001010011 0000001010100 0000001010101 0000001011010 0000001011011
      0000001100100 0000001100101 00000001000 00000001100 00000001101 000000010010 000000010011
      000000010100 000000010101 000000010110 000000010111 000000011100 000000011101 000000011110
      000000011111
      """);

  private final byte[] data;
  private final int end;
  private final Variant variant;
  private final int width;
  private long position;

  /** Where the row above, and the row being read, change colour; the first change is to black. */
  private int[] above;

  private int[] changes;
  private int count;

  CcittDecoder(ByteCursor in, Variant variant, int width) {
    this.data = in.data();
    this.position = 8L * in.position();
    this.end = in.end();
    this.variant = variant;
    this.width = width;
    this.above = new int[width + 4];
    this.changes = new int[width + 4];
  }

  /** Decodes rows of {@code (width + 7) / 8} bytes. */
  byte[] decode(int rows) throws DecodeException {
    int rowBytes = (width + 7) / 8;
    byte[] out = new byte[rowBytes * rows];
    Arrays.fill(above, width);
    for (int y = 0; y < rows; y++) {
      count = 0;
      if (startsTwoDimensionalRow()) {
        readRelative();
      } else {
        readRuns();
      }
      Arrays.fill(changes, count, changes.length, width);
      for (int i = 0; i < count; i += 2) {
        paint(out, 8 * y * rowBytes, changes[i], changes[i + 1]);
      }
      int[] done = above;
      above = changes;
      changes = done;
    }
    return out;
  }

  private static void paint(byte[] out, int row, int from, int to) {
    for (int x = row + from; x < row + to; x++) {
      out[x >> 3] |= (byte) (0x80 >> (x & 7));
    }
  }

  /** Passes what stands in front of a row, and tells how the row is coded. */
  private boolean startsTwoDimensionalRow() throws DecodeException {
    if (variant == Variant.GROUP4) {
      return true;
    }
    if (variant == Variant.RUN_LENGTHS) {
      position = (position + 7) & ~7L;
      return false;
    }
    // Fill bits, then eleven zeros and a one; some writers leave the first one out.
    long start = position;
    int zeros = 0;
    while (bit() == 0) {
      zeros++;
    }
    if (zeros < 11) {
      position = start;
      return false;
    }
    return variant == Variant.GROUP3_TWO_DIMENSIONAL && bit() == 0;
  }

  private int bit() throws DecodeException {
    if (position >= 8L * end) {
      throw DecodeException.truncated(FORMAT);
    }
    int bit = data[(int) (position >> 3)] >> (7 - (int) (position & 7)) & 1;
    position++;
    return bit;
  }

  private void change(int x) throws DecodeException {
    int previous = count == 0 ? 0 : changes[count - 1];
    if (x < previous || x > width || count >= width + 2) {
      throw DecodeException.damaged(FORMAT, "an impossible fax code");
    }
    changes[count++] = x;
  }

  private void readRuns() throws DecodeException {
    int x = 0;
    boolean black = false;
    while (x < width) {
      x += readRun(black);
      change(x);
      black = !black;
    }
  }

  /** Reads a row coded relative to the one above (T.4, section 4.2). */
  private void readRelative() throws DecodeException {
    int x = 0;
    boolean started = false;
    boolean black = false;
    while (x < width) {
      int i = black ? 1 : 0;
      while (above[i] < width && (started ? above[i] <= x : above[i] < x)) {
        i += 2;
      }
      started = true;
      int mode = readMode();
      if (mode == PASS) {
        x = above[i + 1];
      } else if (mode == HORIZONTAL) {
        change(x + readRun(black));
        change(changes[count - 1] + readRun(!black));
        x = changes[count - 1];
      } else {
        x = above[i] + mode;
        change(x);
        black = !black;
      }
    }
  }

  /**
   * A mode's code (T.4, table 4): how far the change is from the one above, or PASS, HORIZONTAL.
   */
  private int readMode() throws DecodeException {
    if (bit() == 1) {
      return 0;
    }
    if (bit() == 1) {
      return bit() == 1 ? 1 : -1;
    }
    if (bit() == 1) {
      return HORIZONTAL;
    }
    if (bit() == 1) {
      return PASS;
    }
    if (bit() == 1) {
      return bit() == 1 ? 2 : -2;
    }
    if (bit() == 1) {
      return bit() == 1 ? 3 : -3;
    }
    throw DecodeException.damaged(FORMAT, "an impossible fax code");
  }

  private int readRun(boolean black) throws DecodeException {
    Codes codes = black ? BLACK : WHITE;
    int run = 0;
    while (true) {
      int part = readCode(codes);
      run += part;
      if (part < 64 || run > width) {
        return run;
      }
    }
  }

  private int readCode(Codes codes) throws DecodeException {
    int code = 1;
    for (int length = 1; length <= Codes.MAX_BITS; length++) {
      code = code << 1 | bit();
      int run = codes.runs[code];
      if (run >= 0) {
        return run;
      }
    }
    throw DecodeException.damaged(FORMAT, "an impossible fax code");
  }

  /** Run lengths by their codes, each code with a one in front. */
  private static final class Codes {
    static final int MAX_BITS = 13;

    final short[] runs = new short[2 << MAX_BITS];

    Codes(String table) {
      Arrays.fill(runs, (short) -1);
      String[] codes = table.strip().split("\\s+", -1);
      for (int i = 0; i < codes.length; i++) {
        runs[Integer.parseInt("1" + codes[i], 2)] = (short) (i < 64 ? i : 64 * (i - 63));
      }
    }
  }
}
