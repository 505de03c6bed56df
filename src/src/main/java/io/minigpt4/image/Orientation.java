package io.minigpt4.image;

/**
 * The EXIF orientation (EXIF 2.32, section 4.6.4, tag 0x0112): how a stored picture must be turned
 * and mirrored to stand upright.
 */
final class Orientation {
  /** As it is stored. */
  static final int NORMAL = 1;

  private static final int TAG = 0x0112;
  private static final int SHORT = 3;
  private static final int ENTRY_BYTES = 12;

  private Orientation() {}

  /**
   * Finds the orientation in an EXIF block, with or without the leading {@code Exif\0\0}.
   *
   * @return 1–8; 1 if there is none or the block is damaged, which is no reason to refuse the
   *     picture
   */
  static int ofExif(byte[] data, int from, int to) {
    int start = ByteCursor.matches(data, from, to, "Exif\0\0") ? from + 6 : from;
    boolean little = ByteCursor.matches(data, start, to, "II*\0");
    if (!little && !ByteCursor.matches(data, start, to, "MM\0*")) {
      return NORMAL;
    }
    try {
      ByteCursor in = new ByteCursor(data, start + 4, to, "EXIF");
      in.seek(start + (little ? in.u32le() : in.u32be()));
      int entries = little ? in.u16le() : in.u16be();
      for (int i = 0; i < entries; i++) {
        ByteCursor entry = in.slice(ENTRY_BYTES);
        int tag = little ? entry.u16le() : entry.u16be();
        int type = little ? entry.u16le() : entry.u16be();
        entry.skip(4);
        if (tag == TAG && type == SHORT) {
          int value = little ? entry.u16le() : entry.u16be();
          return value >= 1 && value <= 8 ? value : NORMAL;
        }
      }
      return NORMAL;
    } catch (DecodeException e) {
      return NORMAL;
    }
  }

  /**
   * The picture as it should stand.
   *
   * @param orientation 1–8: 2 mirrored left to right, 3 turned by 180°, 4 mirrored top to bottom, 5
   *     transposed, 6 to be turned 90° clockwise, 7 transposed along the other diagonal, 8 to be
   *     turned 90° counter-clockwise
   */
  static Picture upright(Picture stored, int orientation) {
    if (orientation == NORMAL) {
      return stored;
    }
    int w = stored.width();
    int h = stored.height();
    boolean swapped = orientation >= 5;
    int outWidth = swapped ? h : w;
    int outHeight = swapped ? w : h;
    boolean fromRight =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    boolean fromBottom =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    byte[] in = stored.rgb();
    byte[] out = new byte[in.length];
    int to = 0;
    for (int y = 0; y < outHeight; y++) {
      for (int x = 0; x < outWidth; x++) {
        int column = swapped ? y : x;
        int row = swapped ? x : y;
        column = fromRight ? w - 1 - column : column;
        row = fromBottom ? h - 1 - row : row;
        int from = 3 * (row * w + column);
        out[to++] = in[from];
        out[to++] = in[from + 1];
        out[to++] = in[from + 2];
      }
    }
    return new Picture(outWidth, outHeight, out);
  }
}
