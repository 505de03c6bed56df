package io.minigpt4.image;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Decodes one scan of a JPEG (ITU-T T.81, annexes F.2 and G.2): the entropy-coded coefficients of
 * some components, all of them in a sequential file, a band of frequencies or bits in a progressive
 * one.
 */
final class JpegScan {
  /** Position in natural order of each coefficient in zigzag order. */
  static final int[] ZIGZAG = {
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63
  };

  /** What is done with each block as soon as it is decoded. */
  interface BlockSink {
    void accept(JpegComponent component, int row, int column, short[] block) throws DecodeException;
  }

  /**
   * A component's part in the scan.
   *
   * @param dc its table of DC codes; null where the scan codes none
   * @param ac its table of AC codes; null where the scan codes none
   */
  record Part(JpegComponent component, @Nullable JpegHuffman dc, @Nullable JpegHuffman ac) {}

  private final List<Part> parts;
  private final JpegBits bits;
  private final int first;
  private final int last;
  private final int high;
  private final int low;
  private final boolean progressive;
  private final BlockSink sink;
  private final short[] block = new short[64];
  private int endOfBandRun;

  /**
   * @param first first coefficient of the band, in zigzag order
   * @param last last coefficient of the band
   * @param high bit of the coefficients that an earlier scan ended with, 0 if this is the first
   * @param low bit that this scan ends with
   * @param sink gets the blocks of a sequential file; those of a progressive one gather in the
   *     components
   */
  JpegScan(
      List<Part> parts,
      JpegBits bits,
      int first,
      int last,
      int high,
      int low,
      boolean progressive,
      BlockSink sink) {
    this.parts = parts;
    this.bits = bits;
    this.first = first;
    this.last = last;
    this.high = high;
    this.low = low;
    this.progressive = progressive;
    this.sink = sink;
  }

  /**
   * Decodes the scan.
   *
   * @param unitsAcross minimum coded units in a row, for scans of several components
   * @param unitsDown rows of them
   * @param restartInterval units between restart markers, 0 for none
   */
  void decode(int unitsAcross, int unitsDown, int restartInterval) throws DecodeException {
    boolean single = parts.size() == 1;
    JpegComponent only = parts.getFirst().component();
    int across = single ? only.blocksAcross : unitsAcross;
    int down = single ? only.blocksDown : unitsDown;
    int left = restartInterval;
    int marker = 0;
    reset();
    for (int y = 0; y < down; y++) {
      for (int x = 0; x < across; x++) {
        if (restartInterval > 0 && left == 0) {
          nextRestart(marker);
          marker = (marker + 1) & 7;
          left = restartInterval;
        }
        left--;
        if (single) {
          decodeBlock(parts.getFirst(), y, x);
        } else {
          decodeUnit(y, x);
        }
      }
    }
  }

  private void decodeUnit(int y, int x) throws DecodeException {
    for (int p = 0; p < parts.size(); p++) {
      Part part = parts.get(p);
      JpegComponent c = part.component();
      for (int v = 0; v < c.down; v++) {
        for (int h = 0; h < c.across; h++) {
          decodeBlock(part, y * c.down + v, x * c.across + h);
        }
      }
    }
  }

  private void reset() {
    endOfBandRun = 0;
    for (Part part : parts) {
      part.component().previousDc = 0;
    }
  }

  private void nextRestart(int expected) throws DecodeException {
    int at = bits.position();
    byte[] data = bits.data();
    int end = bits.end();
    // Any number of 0xFF may stand in front of a marker.
    while (at + 1 < end && data[at] == (byte) 0xFF && data[at + 1] == (byte) 0xFF) {
      at++;
    }
    if (at + 1 >= end) {
      throw DecodeException.truncated(JpegDecoder.FORMAT);
    }
    if (data[at] != (byte) 0xFF || (data[at + 1] & 0xFF) != 0xD0 + expected) {
      throw DecodeException.damaged(JpegDecoder.FORMAT, "a restart marker is missing");
    }
    bits.restart(at + 2);
    reset();
  }

  private void decodeBlock(Part part, int row, int column) throws DecodeException {
    JpegComponent c = part.component();
    if (!progressive) {
      Arrays.fill(block, (short) 0);
      sequential(part);
      sink.accept(c, row, column, block);
      return;
    }
    int at = 64 * (row * c.storedAcross + column);
    if (first == 0) {
      if (high == 0) {
        c.previousDc += dcDifference(part);
        c.coefficients[at] = (short) (c.previousDc << low);
      } else if (bits.take(1) == 1) {
        c.coefficients[at] |= (short) (1 << low);
      }
    } else if (high == 0) {
      firstBand(table(part.ac()), c.coefficients, at);
    } else {
      refineBand(table(part.ac()), c.coefficients, at);
    }
  }

  private int dcDifference(Part part) throws DecodeException {
    int size = table(part.dc()).decode(bits);
    if (size > 15) {
      throw broken();
    }
    return bits.takeSigned(size);
  }

  private void sequential(Part part) throws DecodeException {
    JpegComponent c = part.component();
    c.previousDc += dcDifference(part);
    block[0] = (short) c.previousDc;
    JpegHuffman ac = table(part.ac());
    for (int k = 1; k < 64; k++) {
      int symbol = ac.decode(bits);
      int size = symbol & 15;
      int run = symbol >> 4;
      if (size == 0) {
        if (run != 15) {
          return;
        }
        k += 15;
        continue;
      }
      k += run;
      if (k > 63) {
        throw broken();
      }
      block[ZIGZAG[k]] = (short) bits.takeSigned(size);
    }
  }

  /** The first scan of a band of AC coefficients (section G.1.2.2). */
  private void firstBand(JpegHuffman ac, short[] out, int at) throws DecodeException {
    if (endOfBandRun > 0) {
      endOfBandRun--;
      return;
    }
    for (int k = first; k <= last; k++) {
      int symbol = ac.decode(bits);
      int size = symbol & 15;
      int run = symbol >> 4;
      if (size == 0) {
        if (run != 15) {
          endOfBandRun = (1 << run) - 1 + bits.take(run);
          return;
        }
        k += 15;
        continue;
      }
      k += run;
      if (k > last) {
        throw broken();
      }
      out[at + ZIGZAG[k]] = (short) (bits.takeSigned(size) << low);
    }
  }

  /** A later scan, which adds one bit of precision to a band (section G.1.2.3). */
  private void refineBand(JpegHuffman ac, short[] out, int at) throws DecodeException {
    int k = first;
    while (endOfBandRun == 0 && k <= last) {
      int symbol = ac.decode(bits);
      int size = symbol & 15;
      int run = symbol >> 4;
      int fresh = 0;
      if (size == 0) {
        if (run != 15) {
          endOfBandRun = (1 << run) + bits.take(run);
          break;
        }
      } else if (size == 1) {
        fresh = bits.take(1) == 1 ? 1 << low : -1 << low;
      } else {
        throw broken();
      }
      k = refineUpTo(out, at, k, run);
      if (fresh != 0) {
        if (k > last) {
          throw broken();
        }
        out[at + ZIGZAG[k]] = (short) fresh;
      }
      k++;
    }
    if (endOfBandRun > 0) {
      refineUpTo(out, at, k, 64);
      endOfBandRun--;
    }
  }

  /**
   * Refines the coefficients that are not zero, up to the zero that {@code zeros} others precede.
   *
   * @return where that zero is, or behind the band
   */
  private int refineUpTo(short[] out, int at, int from, int zeros) throws DecodeException {
    int left = zeros;
    int k = from;
    for (; k <= last; k++) {
      int i = at + ZIGZAG[k];
      if (out[i] == 0) {
        if (left-- == 0) {
          return k;
        }
      } else if (bits.take(1) == 1 && (out[i] & (1 << low)) == 0) {
        out[i] += (short) (out[i] > 0 ? 1 << low : -1 << low);
      }
    }
    return k;
  }

  private static JpegHuffman table(@Nullable JpegHuffman table) throws DecodeException {
    if (table == null) {
      throw DecodeException.damaged(JpegDecoder.FORMAT, "a Huffman table is missing");
    }
    return table;
  }

  private static DecodeException broken() {
    return DecodeException.damaged(JpegDecoder.FORMAT, "broken pixel data");
  }
}
