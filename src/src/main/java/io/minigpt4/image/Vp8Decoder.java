package io.minigpt4.image;

import java.util.Arrays;

/**
 * Lossy WebP: a key frame of VP8 (RFC 6386). Samples and colours equal libwebp's, and so Pillow's,
 * to the bit.
 */
final class Vp8Decoder {
  private static final String FORMAT = WebpDecoder.FORMAT;
  private static final int SEGMENTS = 4;

  /** Marks of non-zero blocks per macroblock edge: 4 of luma, 2 of each chroma, 1 of luma's DC. */
  private static final int MARKS = 9;

  private static final int DC_MARK = 8;

  private final PictureOptions options;
  private final Vp8Prediction prediction = new Vp8Prediction();
  private int width;
  private int height;
  private int columns;
  private int rows;

  private boolean segmented;
  private boolean segmentMap;
  private boolean absoluteSegments = true;
  private final int[] segmentQuantiser = new int[SEGMENTS];
  private final int[] segmentFilter = new int[SEGMENTS];
  private final int[] segmentProbability = {255, 255, 255};

  private boolean simpleFilter;
  private int filterLevel;
  private int sharpness;
  private int intraFilterDelta;
  private int blockFilterDelta;

  private final Vp8Quantiser[] quantisers = new Vp8Quantiser[SEGMENTS];
  private int skipProbability = -1;

  private Vp8Decoder(PictureOptions options) {
    this.options = options;
  }

  /** Decodes a VP8 chunk's content. */
  static Picture decode(ByteCursor in, PictureOptions options) throws DecodeException {
    return new Vp8Decoder(options).decode(in);
  }

  private Picture decode(ByteCursor in) throws DecodeException {
    int tag = in.u24le();
    if ((tag & 1) != 0 || (tag >> 1 & 7) > 3 || (tag >> 4 & 1) == 0) {
      throw DecodeException.damaged(FORMAT, "a lossy frame that is no shown key frame");
    }
    if (in.u24le() != 0x2A019D) {
      throw DecodeException.damaged(FORMAT, "a lossy frame without its start code");
    }
    width = in.u16le() & 0x3FFF;
    height = in.u16le() & 0x3FFF;
    options.check(FORMAT, width, height);
    columns = (width + 15) >> 4;
    rows = (height + 15) >> 4;

    Vp8Bits header = new Vp8Bits(in.slice(tag >> 5));
    header.number(2); // colour space and clamping, which change nothing here
    readSegments(header);
    readFilter(header);
    Vp8Bits[] partitions = readPartitions(header.number(2), in);
    readQuantisers(header);
    header.flag(); // whether later frames start from these probabilities
    Vp8Residuals residuals = new Vp8Residuals(readProbabilities(header));
    if (header.flag()) {
      skipProbability = header.number(8);
    }
    return new Frame(header, partitions, residuals).decode();
  }

  /** Section 9.3. */
  private void readSegments(Vp8Bits in) {
    segmented = in.flag();
    if (!segmented) {
      return;
    }
    segmentMap = in.flag();
    if (in.flag()) {
      absoluteSegments = in.flag();
      for (int i = 0; i < SEGMENTS; i++) {
        segmentQuantiser[i] = in.optional(7);
      }
      for (int i = 0; i < SEGMENTS; i++) {
        segmentFilter[i] = in.optional(6);
      }
    }
    for (int i = 0; segmentMap && i < SEGMENTS - 1; i++) {
      segmentProbability[i] = in.flag() ? in.number(8) : 255;
    }
  }

  /** Sections 9.4 and 9.6 of the filter; only the deltas for intra macroblocks matter here. */
  private void readFilter(Vp8Bits in) {
    simpleFilter = in.flag();
    filterLevel = in.number(6);
    sharpness = in.number(3);
    boolean deltas = in.flag();
    if (deltas && in.flag()) {
      for (int i = 0; i < 8; i++) {
        int delta = in.optional(6);
        if (i == 0) {
          intraFilterDelta = delta;
        } else if (i == 4) {
          blockFilterDelta = delta;
        }
      }
    }
  }

  /** Section 9.5: the partitions that rows of macroblocks are dealt to in turn. */
  private static Vp8Bits[] readPartitions(int log, ByteCursor in) throws DecodeException {
    int count = 1 << log;
    ByteCursor sizes = in.slice(3L * (count - 1));
    Vp8Bits[] partitions = new Vp8Bits[count];
    for (int i = 0; i < count - 1; i++) {
      partitions[i] = new Vp8Bits(in.slice(sizes.u24le()));
    }
    partitions[count - 1] = new Vp8Bits(in.slice(in.remaining()));
    return partitions;
  }

  private void readQuantisers(Vp8Bits in) {
    int base = in.number(7);
    int[] deltas = new int[5];
    for (int i = 0; i < deltas.length; i++) {
      deltas[i] = in.optional(4);
    }
    for (int i = 0; i < SEGMENTS; i++) {
      int index = base;
      if (segmented) {
        index = absoluteSegments ? segmentQuantiser[i] : base + segmentQuantiser[i];
      }
      quantisers[i] = new Vp8Quantiser(index, deltas);
    }
  }

  /** Section 13.4. */
  private static int[] readProbabilities(Vp8Bits in) {
    int[] probabilities = Vp8Tables.COEFFICIENT_PROBABILITIES.clone();
    for (int i = 0; i < probabilities.length; i++) {
      if (in.bit(Vp8Tables.UPDATE_PROBABILITIES[i]) == 1) {
        probabilities[i] = in.number(8);
      }
    }
    return probabilities;
  }

  /** The filter level of a segment's macroblocks (section 9.6). */
  private int filterLevel(int segment, boolean blocks) {
    int level = filterLevel;
    if (segmented) {
      level = absoluteSegments ? segmentFilter[segment] : level + segmentFilter[segment];
    }
    level += intraFilterDelta + (blocks ? blockFilterDelta : 0);
    return Math.clamp(level, 0, 63);
  }

  private int interiorLimit(int level) {
    int limit = level;
    if (sharpness > 0) {
      limit >>= sharpness > 4 ? 2 : 1;
      limit = Math.min(limit, 9 - sharpness);
    }
    return Math.max(limit, 1);
  }

  /** The frame's macroblocks, whose modes, coefficients and samples are decoded one by one. */
  private final class Frame {
    private final Vp8Bits modes;
    private final Vp8Bits[] partitions;
    private final Vp8Residuals residuals;
    private final Vp8Plane luma = new Vp8Plane(16 * columns, 16 * rows);
    private final Vp8Plane[] chroma = {
      new Vp8Plane(8 * columns, 8 * rows), new Vp8Plane(8 * columns, 8 * rows)
    };

    /** Modes of the 4×4 blocks above and to the left. */
    private final byte[] topModes = new byte[4 * columns];

    private final byte[] leftModes = new byte[4];
    private final boolean[] topMarks = new boolean[MARKS * columns];
    private final boolean[] leftMarks = new boolean[MARKS];

    /** Filter level of each macroblock, plus 64 if its inner edges are filtered too. */
    private final byte[] filter = new byte[columns * rows];

    private final int[] blockModes = new int[16];
    private final byte[] aboveRight = new byte[4];

    Frame(Vp8Bits modes, Vp8Bits[] partitions, Vp8Residuals residuals) {
      this.modes = modes;
      this.partitions = partitions;
      this.residuals = residuals;
    }

    Picture decode() throws DecodeException {
      for (int row = 0; row < rows; row++) {
        Arrays.fill(leftModes, (byte) 0);
        Arrays.fill(leftMarks, false);
        Vp8Bits tokens = partitions[row & (partitions.length - 1)];
        for (int column = 0; column < columns; column++) {
          macroblock(tokens, column, row);
          if (tokens.overrun() || modes.overrun()) {
            throw DecodeException.truncated(FORMAT);
          }
        }
      }
      if (filterLevel > 0) {
        filter();
      }
      byte[] rgb = Vp8Colour.toRgb(luma, chroma[0], chroma[1], width, height);
      return new Picture(width, height, rgb);
    }

    private void filter() {
      Vp8LoopFilter loop = new Vp8LoopFilter(luma, chroma, simpleFilter);
      for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
          int entry = filter[row * columns + column];
          int level = entry & 63;
          if (level > 0) {
            loop.macroblock(column, row, level, interiorLimit(level), entry >= 64);
          }
        }
      }
    }

    private void macroblock(Vp8Bits tokens, int column, int row) {
      int segment = 0;
      if (segmentMap) {
        segment =
            modes.bit(segmentProbability[0]) == 0
                ? modes.bit(segmentProbability[1])
                : 2 + modes.bit(segmentProbability[2]);
      }
      boolean skip = skipProbability >= 0 && modes.bit(skipProbability) == 1;
      boolean blocks = modes.bit(145) == 0;
      int squareMode = blocks ? 0 : readSquareMode(column);
      if (blocks) {
        readBlockModes(column);
      }
      int chromaMode = readChromaMode();
      boolean coded =
          skip
              ? noResiduals(column, blocks)
              : residuals.read(
                  tokens, quantisers[segment], blocks, topMarks, MARKS * column, leftMarks);
      if (blocks) {
        predictBlocks(column, row, coded);
      } else {
        prediction.square(luma, 16 * column, 16 * row, 16, squareMode);
        for (int i = 0; coded && i < 16; i++) {
          int at = luma.at(16 * column + 4 * (i & 3), 16 * row + 4 * (i >> 2));
          residuals.add(i, luma, at);
        }
      }
      for (int c = 0; c < 2; c++) {
        Vp8Plane plane = chroma[c];
        prediction.square(plane, 8 * column, 8 * row, 8, chromaMode);
        for (int i = 0; coded && i < 4; i++) {
          int at = plane.at(8 * column + 4 * (i & 1), 8 * row + 4 * (i >> 1));
          residuals.add(16 + 4 * c + i, plane, at);
        }
      }
      int level = filterLevel(segment, blocks);
      filter[row * columns + column] = (byte) (level | (blocks || coded ? 64 : 0));
    }

    /**
     * A macroblock without coefficients leaves no marks, but for DC where it has none of its own.
     */
    private boolean noResiduals(int column, boolean blocks) {
      int clear = blocks ? DC_MARK : MARKS;
      Arrays.fill(topMarks, MARKS * column, MARKS * column + clear, false);
      Arrays.fill(leftMarks, 0, clear, false);
      return false;
    }

    /** Section 11.2, the tree of key frames' luma modes. */
    private int readSquareMode(int column) {
      int mode;
      if (modes.bit(156) == 1) {
        mode = modes.bit(128) == 1 ? Vp8Prediction.TRUE_MOTION : Vp8Prediction.HORIZONTAL;
      } else {
        mode = modes.bit(163) == 1 ? Vp8Prediction.VERTICAL : Vp8Prediction.DC;
      }
      Arrays.fill(topModes, 4 * column, 4 * column + 4, (byte) mode);
      Arrays.fill(leftModes, (byte) mode);
      return mode;
    }

    private int readChromaMode() {
      if (modes.bit(142) == 0) {
        return Vp8Prediction.DC;
      }
      if (modes.bit(114) == 0) {
        return Vp8Prediction.VERTICAL;
      }
      return modes.bit(183) == 1 ? Vp8Prediction.TRUE_MOTION : Vp8Prediction.HORIZONTAL;
    }

    private void readBlockModes(int column) {
      for (int i = 0; i < 16; i++) {
        int top = 4 * column + (i & 3);
        int left = i >> 2;
        int context = topModes[top] * Vp8Tables.MODES + leftModes[left];
        int mode = readBlockMode(context * (Vp8Tables.MODES - 1));
        blockModes[i] = mode;
        topModes[top] = (byte) mode;
        leftModes[left] = (byte) mode;
      }
    }

    /** Section 11.2, the tree of 4×4 modes. */
    private int readBlockMode(int at) {
      int[] p = Vp8Tables.MODE_PROBABILITIES;
      if (modes.bit(p[at]) == 0) {
        return Vp8Prediction.DC;
      }
      if (modes.bit(p[at + 1]) == 0) {
        return Vp8Prediction.TRUE_MOTION;
      }
      if (modes.bit(p[at + 2]) == 0) {
        return Vp8Prediction.VERTICAL;
      }
      if (modes.bit(p[at + 3]) == 0) {
        if (modes.bit(p[at + 4]) == 0) {
          return Vp8Prediction.HORIZONTAL;
        }
        return modes.bit(p[at + 5]) == 0 ? Vp8Prediction.DOWN_RIGHT : Vp8Prediction.VERTICAL_RIGHT;
      }
      if (modes.bit(p[at + 6]) == 0) {
        return Vp8Prediction.DOWN_LEFT;
      }
      if (modes.bit(p[at + 7]) == 0) {
        return Vp8Prediction.VERTICAL_LEFT;
      }
      return modes.bit(p[at + 8]) == 0
          ? Vp8Prediction.HORIZONTAL_DOWN
          : Vp8Prediction.HORIZONTAL_UP;
    }

    private void predictBlocks(int column, int row, boolean coded) {
      int x = 16 * column;
      int y = 16 * row;
      // All four rows of blocks use the samples above the macroblock's right neighbour.
      if (row > 0 && column == columns - 1) {
        Arrays.fill(aboveRight, luma.data[luma.at(x + 15, y - 1)]);
      } else if (row > 0) {
        System.arraycopy(luma.data, luma.at(x + 16, y - 1), aboveRight, 0, 4);
      } else {
        Arrays.fill(aboveRight, (byte) 127);
      }
      for (int i = 0; i < 16; i++) {
        int at = luma.at(x + 4 * (i & 3), y + 4 * (i >> 2));
        boolean last = (i & 3) == 3;
        byte[] above = last ? aboveRight : luma.data;
        prediction.block(luma, at, blockModes[i], above, last ? 0 : at - luma.stride + 4);
        if (coded) {
          residuals.add(i, luma, at);
        }
      }
    }
  }
}
