package io.minigpt4.image;

/**
 * A decoded picture: 8-bit red, green, blue, interleaved, row by row from the top, without padding.
 */
public final class Picture {
  /** Most pixels whose bytes fit one Java array. */
  static final long MAX_PIXELS = (Integer.MAX_VALUE - 8) / 3;

  private final int width;
  private final int height;
  private final byte[] rgb;

  /**
   * @param width in pixels, ≥ 1
   * @param height in pixels, ≥ 1
   * @param rgb 3·width·height bytes; kept, not copied
   * @throws IllegalArgumentException if the sizes do not fit each other
   */
  public Picture(int width, int height, byte[] rgb) {
    if (width < 1 || height < 1 || rgb.length != 3L * width * height) {
      throw new IllegalArgumentException(
          rgb.length + " bytes are no picture of " + width + "×" + height);
    }
    this.width = width;
    this.height = height;
    this.rgb = rgb;
  }

  /** Width in pixels. */
  public int width() {
    return width;
  }

  /** Height in pixels. */
  public int height() {
    return height;
  }

  /** The bytes themselves, not a copy: 3·(y·width + x) is where pixel (x, y) starts. */
  public byte[] rgb() {
    return rgb;
  }

  /**
   * A copy of a rectangle.
   *
   * @throws IndexOutOfBoundsException if it is empty or not inside the picture
   */
  public Picture crop(CropWindow window) {
    int w = window.width();
    int h = window.height();
    if (window.left() < 0
        || window.top() < 0
        || w < 1
        || h < 1
        || window.left() > width - w
        || window.top() > height - h) {
      throw new IndexOutOfBoundsException(window + " is not inside " + this);
    }
    byte[] out = new byte[3 * w * h];
    for (int y = 0; y < h; y++) {
      int from = 3 * ((window.top() + y) * width + window.left());
      System.arraycopy(rgb, from, out, 3 * y * w, 3 * w);
    }
    return new Picture(w, h, out);
  }

  @Override
  public String toString() {
    return "picture of " + width + "×" + height;
  }
}
