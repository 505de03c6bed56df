package io.minigpt4.image;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * JPEG (ITU-T T.81): baseline, extended sequential and progressive Huffman coding of 8-bit samples;
 * grey, RGB, YCbCr, CMYK and YCCK. Samples and colours equal libjpeg's, and so Pillow's, to the
 * bit.
 */
final class JpegDecoder {
  static final String FORMAT = "JPEG";

  private static final int SOI = 0xD8;
  private static final int EOI = 0xD9;
  private static final int SOF0 = 0xC0;
  private static final int SOF1 = 0xC1;
  private static final int SOF2 = 0xC2;
  private static final int DHT = 0xC4;
  private static final int SOS = 0xDA;
  private static final int DQT = 0xDB;
  private static final int DRI = 0xDD;
  private static final int APP0 = 0xE0;
  private static final int APP1 = 0xE1;
  private static final int APP14 = 0xEE;

  /** A hostile progressive file could repeat scans without end. */
  private static final int MAX_SCANS = 100;

  private ByteCursor in;
  private final PictureOptions options;
  private final int[][] quantisers = new int[4][];
  private final @Nullable JpegHuffman[] dcTables = new JpegHuffman[4];
  private final @Nullable JpegHuffman[] acTables = new JpegHuffman[4];
  private final JpegIdct idct = new JpegIdct();
  private JpegComponent[] components = {};
  private int width;
  private int height;
  private int maxAcross = 1;
  private int maxDown = 1;
  private int unitsAcross;
  private int unitsDown;
  private boolean progressive;
  private int restartInterval;
  private boolean jfif;
  private int adobeTransform = -1;
  private int orientation = Orientation.NORMAL;
  private int scans;

  private JpegDecoder(ByteCursor in, PictureOptions options) {
    this.in = in;
    this.options = options;
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    JpegDecoder decoder = new JpegDecoder(new ByteCursor(data, FORMAT), options);
    decoder.readMarkers();
    return new Decoded(decoder.picture(), decoder.orientation);
  }

  /**
   * Decodes a strip or tile of a TIFF (Adobe's TIFF Technical Note 2).
   *
   * @param tables a JPEG of nothing but tables that the strips share, or empty
   * @param ycc whether three components are YCbCr rather than RGB
   */
  static Picture decodeStrip(byte[] tables, ByteCursor body, boolean ycc, PictureOptions options)
      throws DecodeException {
    JpegDecoder decoder = new JpegDecoder(new ByteCursor(tables, FORMAT), options);
    if (tables.length > 0) {
      decoder.readMarkers();
    }
    decoder.in = body;
    decoder.readMarkers();
    decoder.jfif = ycc;
    decoder.adobeTransform = 0;
    return decoder.picture();
  }

  private void readMarkers() throws DecodeException {
    if (in.u8() != 0xFF || in.u8() != SOI) {
      throw DecodeException.damaged(FORMAT, "no start marker");
    }
    int marker = nextMarker();
    while (marker != EOI) {
      boolean bare = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7) || marker == SOI;
      if (!bare) {
        int length = in.u16be();
        if (length < 2) {
          throw DecodeException.damaged(FORMAT, "a segment of " + length + " bytes");
        }
        segment(marker, in.slice(length - 2));
      }
      marker = nextMarker();
    }
  }

  /** The code of the next marker; bytes that belong to none are passed over. */
  private int nextMarker() throws DecodeException {
    int previous = 0;
    while (true) {
      int code = in.u8();
      if (previous == 0xFF && code != 0 && code != 0xFF) {
        return code;
      }
      previous = code;
    }
  }

  private void segment(int marker, ByteCursor body) throws DecodeException {
    switch (marker) {
      case SOF0, SOF1, SOF2 -> readFrame(body, marker == SOF2);
      case 0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF ->
          throw DecodeException.unsupported(FORMAT, "lossless or hierarchical coding");
      case 0xC9, 0xCA -> throw DecodeException.unsupported(FORMAT, "arithmetic coding");
      case DHT -> readHuffmanTables(body);
      case DQT -> readQuantisers(body);
      case DRI -> restartInterval = body.u16be();
      case SOS -> readScan(body);
      case APP0 -> jfif |= body.startsWith("JFIF\0");
      case APP1 -> {
        if (body.startsWith("Exif\0\0")) {
          orientation = Orientation.ofExif(in.data(), body.position(), body.end());
        }
      }
      case APP14 -> {
        if (body.startsWith("Adobe") && body.remaining() >= 12) {
          body.skip(11);
          adobeTransform = body.u8();
        }
      }
      default -> {
        // Comments, colour profiles, thumbnails.
      }
    }
  }

  private void readFrame(ByteCursor body, boolean isProgressive) throws DecodeException {
    if (components.length > 0) {
      throw DecodeException.damaged(FORMAT, "two frame headers");
    }
    progressive = isProgressive;
    int precision = body.u8();
    if (precision != 8) {
      throw DecodeException.unsupported(FORMAT, precision + "-bit samples");
    }
    height = body.u16be();
    width = body.u16be();
    options.check(FORMAT, width, height);
    int count = body.u8();
    if (count != 1 && count != 3 && count != 4) {
      throw DecodeException.unsupported(FORMAT, count + " components");
    }
    components = new JpegComponent[count];
    for (int i = 0; i < count; i++) {
      int id = body.u8();
      int sampling = body.u8();
      int quantiser = body.u8();
      int across = sampling >> 4;
      int down = sampling & 15;
      if (across < 1 || across > 4 || down < 1 || down > 4 || quantiser > 3) {
        throw DecodeException.damaged(FORMAT, "an impossible frame header");
      }
      components[i] = new JpegComponent(id, across, down, quantiser);
      maxAcross = Math.max(maxAcross, across);
      maxDown = Math.max(maxDown, down);
    }
    layOut();
  }

  /** Computes the components' sizes and takes their memory. */
  private void layOut() throws DecodeException {
    unitsAcross = ceilDiv(width, 8 * maxAcross);
    unitsDown = ceilDiv(height, 8 * maxDown);
    long blocks = 0;
    for (JpegComponent c : components) {
      if (maxAcross % c.across != 0 || maxDown % c.down != 0) {
        throw DecodeException.unsupported(FORMAT, "fractional chroma sampling");
      }
      c.width = ceilDiv(width * c.across, maxAcross);
      c.height = ceilDiv(height * c.down, maxDown);
      c.blocksAcross = ceilDiv(c.width, 8);
      c.blocksDown = ceilDiv(c.height, 8);
      c.storedAcross = unitsAcross * c.across;
      c.storedDown = unitsDown * c.down;
      blocks += (long) c.blocksAcross * c.blocksDown;
    }
    // Each block takes one bit at least.
    if (blocks / 8 > in.remaining()) {
      throw DecodeException.truncated(FORMAT);
    }
    for (JpegComponent c : components) {
      long samples = 64L * c.storedAcross * c.storedDown;
      if (samples > Picture.MAX_PIXELS) {
        throw DecodeException.tooLarge(
            "a JPEG component of " + samples + " samples", Picture.MAX_PIXELS + " samples");
      }
      c.samples = new byte[(int) samples];
      if (progressive) {
        c.coefficients = new short[(int) samples];
      }
    }
  }

  private static int ceilDiv(int a, int b) {
    return (a + b - 1) / b;
  }

  private void readQuantisers(ByteCursor body) throws DecodeException {
    while (body.remaining() > 0) {
      int head = body.u8();
      if ((head & 15) > 3) {
        throw DecodeException.damaged(FORMAT, "a quantisation table of number " + (head & 15));
      }
      int[] table = new int[64];
      for (int i = 0; i < 64; i++) {
        table[JpegScan.ZIGZAG[i]] = head >> 4 == 0 ? body.u8() : body.u16be();
      }
      quantisers[head & 15] = table;
    }
  }

  private void readHuffmanTables(ByteCursor body) throws DecodeException {
    while (body.remaining() > 0) {
      int head = body.u8();
      if ((head & 15) > 3 || head >> 4 > 1) {
        throw DecodeException.damaged(FORMAT, "a Huffman table of number " + head);
      }
      int[] counts = new int[16];
      int total = 0;
      for (int i = 0; i < 16; i++) {
        counts[i] = body.u8();
        total += counts[i];
      }
      if (total > 256) {
        throw DecodeException.damaged(FORMAT, "an impossible Huffman table");
      }
      byte[] symbols = new byte[total];
      for (int i = 0; i < total; i++) {
        symbols[i] = (byte) body.u8();
      }
      JpegHuffman table = new JpegHuffman(counts, symbols);
      if (head >> 4 == 0) {
        dcTables[head & 15] = table;
      } else {
        acTables[head & 15] = table;
      }
    }
  }

  private void readScan(ByteCursor body) throws DecodeException {
    if (components.length == 0) {
      throw DecodeException.damaged(FORMAT, "pixel data before the frame header");
    }
    if (++scans > MAX_SCANS) {
      throw DecodeException.damaged(FORMAT, "more than " + MAX_SCANS + " scans");
    }
    int count = body.u8();
    if (count < 1 || count > components.length) {
      throw DecodeException.damaged(FORMAT, "a scan of " + count + " components");
    }
    List<JpegScan.Part> parts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      JpegComponent component = component(body.u8());
      int tables = body.u8();
      if (tables >> 4 > 3 || (tables & 15) > 3) {
        throw DecodeException.damaged(FORMAT, "a scan with an unknown Huffman table");
      }
      for (JpegScan.Part other : parts) {
        if (other.component() == component) {
          throw DecodeException.damaged(FORMAT, "a component twice in one scan");
        }
      }
      parts.add(new JpegScan.Part(component, dcTables[tables >> 4], acTables[tables & 15]));
    }
    int first = body.u8();
    int last = body.u8();
    int high = body.u8();
    int low = high & 15;
    high >>= 4;
    if (progressive) {
      boolean band = first == 0 ? last == 0 : first <= last && last < 64 && count == 1;
      if (!band || low > 13 || (high != 0 && high != low + 1)) {
        throw DecodeException.damaged(FORMAT, "impossible progression parameters");
      }
    }
    JpegBits bits = new JpegBits(in.data(), in.position(), in.end());
    new JpegScan(parts, bits, first, last, high, low, progressive, this::reconstruct)
        .decode(unitsAcross, unitsDown, restartInterval);
    in.seek(bits.position());
  }

  private JpegComponent component(int id) throws DecodeException {
    for (JpegComponent c : components) {
      if (c.id == id) {
        return c;
      }
    }
    throw DecodeException.damaged(FORMAT, "a scan of an unknown component");
  }

  private void reconstruct(JpegComponent c, int row, int column, short[] block)
      throws DecodeException {
    transform(c, row, column, block, 0);
  }

  private void transform(JpegComponent c, int row, int column, short[] from, int at)
      throws DecodeException {
    int[] quantiser = quantisers[c.quantiser];
    if (quantiser == null) {
      throw DecodeException.damaged(FORMAT, "a quantisation table is missing");
    }
    int to = 8 * (row * c.stride() + column);
    idct.transform(from, at, quantiser, c.samples, to, c.stride());
  }

  private Picture picture() throws DecodeException {
    if (scans == 0) {
      throw DecodeException.damaged(FORMAT, "no pixel data");
    }
    if (progressive) {
      for (JpegComponent c : components) {
        for (int row = 0; row < c.blocksDown; row++) {
          for (int column = 0; column < c.blocksAcross; column++) {
            transform(c, row, column, c.coefficients, 64 * (row * c.storedAcross + column));
          }
        }
        c.coefficients = new short[0];
      }
    }
    byte[] rgb = new JpegColour(components, maxAcross, maxDown).toRgb(space(), width, height);
    return new Picture(width, height, rgb);
  }

  /** What the components mean, by the rules that libjpeg guesses by. */
  private JpegColour.Space space() {
    if (components.length == 1) {
      return JpegColour.Space.GREY;
    }
    if (components.length == 4) {
      return adobeTransform == 2 ? JpegColour.Space.YCCK : JpegColour.Space.CMYK;
    }
    boolean rgb;
    if (jfif) {
      rgb = false;
    } else if (adobeTransform >= 0) {
      rgb = adobeTransform == 0;
    } else {
      rgb = components[0].id == 'R' && components[1].id == 'G' && components[2].id == 'B';
    }
    return rgb ? JpegColour.Space.RGB : JpegColour.Space.YCC;
  }
}
