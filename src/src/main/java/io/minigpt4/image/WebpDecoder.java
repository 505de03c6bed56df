package io.minigpt4.image;

/**
 * WebP (RFC 9649): lossy, lossless and extended files; of an animation the first frame on its
 * canvas, the rest of which is black, as in Pillow.
 */
final class WebpDecoder {
  static final String FORMAT = "WebP";

  private static final int ANIMATION_FLAG = 2;

  private final PictureOptions options;
  private int orientation = Orientation.NORMAL;

  private WebpDecoder(PictureOptions options) {
    this.options = options;
  }

  static Decoded decode(byte[] data, PictureOptions options) throws DecodeException {
    WebpDecoder decoder = new WebpDecoder(options);
    ByteCursor in = new ByteCursor(data, FORMAT);
    in.skip(4);
    ByteCursor riff = in.slice(in.u32le());
    riff.skip(4);
    Picture picture = decoder.decodeChunks(riff);
    return new Decoded(picture, decoder.orientation);
  }

  private Picture decodeChunks(ByteCursor riff) throws DecodeException {
    if (!riff.startsWith("VP8X")) {
      return decodeImage(riff);
    }
    riff.skip(4);
    ByteCursor header = nextBody(riff);
    boolean animated = (header.u8() & ANIMATION_FLAG) != 0;
    header.skip(3);
    int width = header.u24le() + 1;
    int height = header.u24le() + 1;
    options.check(FORMAT, width, height);
    Picture picture = null;
    while (riff.remaining() >= 8) {
      if (picture == null && (riff.startsWith("VP8 ") || riff.startsWith("VP8L"))) {
        picture = decodeImage(riff);
      } else if (picture == null && animated && riff.startsWith("ANMF")) {
        riff.skip(4);
        picture = decodeFrame(nextBody(riff), width, height);
      } else {
        boolean exif = riff.startsWith("EXIF");
        riff.skip(4);
        ByteCursor body = nextBody(riff);
        if (exif) {
          orientation = Orientation.ofExif(body.data(), body.position(), body.end());
        }
      }
    }
    if (picture == null) {
      throw DecodeException.damaged(FORMAT, "no picture in it");
    }
    if (picture.width() != width || picture.height() != height) {
      throw DecodeException.damaged(FORMAT, "a picture of another size than its header says");
    }
    return picture;
  }

  /** Reads a chunk's length and content, and passes the padding byte. */
  private static ByteCursor nextBody(ByteCursor in) throws DecodeException {
    long length = in.u32le();
    ByteCursor body = in.slice(length);
    in.skip(Math.min(length & 1, in.remaining()));
    return body;
  }

  private Picture decodeImage(ByteCursor in) throws DecodeException {
    boolean lossy = in.startsWith("VP8 ");
    if (!lossy && !in.startsWith("VP8L")) {
      throw DecodeException.damaged(FORMAT, "no picture in it");
    }
    in.skip(4);
    ByteCursor body = nextBody(in);
    return lossy ? Vp8Decoder.decode(body, options) : Vp8lDecoder.decode(body, options);
  }

  private Picture decodeFrame(ByteCursor frame, int canvasWidth, int canvasHeight)
      throws DecodeException {
    int left = 2 * frame.u24le();
    int top = 2 * frame.u24le();
    int width = frame.u24le() + 1;
    int height = frame.u24le() + 1;
    frame.skip(4);
    // An alpha channel coded apart comes first.
    while (frame.startsWith("ALPH")) {
      frame.skip(4);
      nextBody(frame);
    }
    if ((long) left + width > canvasWidth || (long) top + height > canvasHeight) {
      throw DecodeException.damaged(FORMAT, "a frame outside its canvas");
    }
    Picture picture = decodeImage(frame);
    if (picture.width() != width || picture.height() != height) {
      throw DecodeException.damaged(FORMAT, "a frame of another size than its header says");
    }
    if (width == canvasWidth && height == canvasHeight) {
      return picture;
    }
    byte[] canvas = new byte[3 * canvasWidth * canvasHeight];
    for (int y = 0; y < height; y++) {
      int to = 3 * ((top + y) * canvasWidth + left);
      System.arraycopy(picture.rgb(), 3 * y * width, canvas, to, 3 * width);
    }
    return new Picture(canvasWidth, canvasHeight, canvas);
  }
}
