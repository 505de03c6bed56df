package io.minigpt4.image;

import java.util.Arrays;

/**
 * Bicubic resizing, equal to Pillow's to the bit: a separable cubic filter (Keys 1981, a = −0.5)
 * whose support grows with the scale when shrinking, so that it antialiases; weights in fixed point
 * with 22 fractional bits; the horizontal pass first, each pass rounded to 8 bits.
 */
public final class Resize {
  /** 32-bit sums hold 8-bit samples times weights that may overshoot 1, hence 8 + 2 bits less. */
  private static final int PRECISION_BITS = 32 - 8 - 2;

  private static final double SUPPORT = 2;
  private static final double A = -0.5;

  /** Height over width beyond which the vertical pass goes first. */
  private static final int VERY_TALL = 100;

  private Resize() {}

  /**
   * Resizes a picture, without regard to its aspect ratio.
   *
   * @param width new width in pixels, ≥ 1
   * @param height new height in pixels, ≥ 1
   * @throws IllegalArgumentException if a size is not positive or the result too large for an array
   */
  public static Picture bicubic(Picture picture, int width, int height) {
    return bicubic(picture, width, height, 0, 0, picture.width(), picture.height());
  }

  /**
   * Resizes a rectangle of a picture. Its bounds need not be whole pixels, and pixels just outside
   * it contribute to the result's edges (Pillow's {@code box}); to keep them out, {@linkplain
   * Picture#crop crop} first, as torchvision's RandomResizedCrop does.
   *
   * @param width new width in pixels, ≥ 1
   * @param height new height in pixels, ≥ 1
   * @param left left edge, 0 ≤ left &lt; right
   * @param top upper edge, 0 ≤ top &lt; bottom
   * @param right right edge, at most the picture's width
   * @param bottom lower edge, at most the picture's height
   * @throws IllegalArgumentException if a size is not positive, the result too large for an array,
   *     or the rectangle empty or not inside the picture
   */
  public static Picture bicubic(
      Picture picture, int width, int height, float left, float top, float right, float bottom) {
    if (width < 1 || height < 1 || (long) width * height > Picture.MAX_PIXELS) {
      throw new IllegalArgumentException("cannot resize to " + width + "×" + height);
    }
    boolean inside =
        left >= 0 && top >= 0 && right <= picture.width() && bottom <= picture.height();
    if (!inside || !(left < right) || !(top < bottom)) {
      throw new IllegalArgumentException(
          "box " + left + "," + top + "–" + right + "," + bottom + " is not inside " + picture);
    }
    if (picture.height() > (long) VERY_TALL * picture.width() && height < picture.height()) {
      return bicubicVeryTall(picture, width, height, left, top, right, bottom);
    }
    return twoPasses(picture, width, height, left, top, right, bottom);
  }

  /**
   * Pillow shrinks very tall pictures vertically first, which is faster, and rounds differently.
   */
  private static Picture bicubicVeryTall(
      Picture picture, int width, int height, float left, float top, float right, float bottom) {
    Picture low = twoPasses(picture, picture.width(), height, 0, top, picture.width(), bottom);
    return twoPasses(low, width, height, left, 0, right, height);
  }

  private static Picture twoPasses(
      Picture picture, int width, int height, float left, float top, float right, float bottom) {
    Filter horizontal = new Filter(picture.width(), left, right, width);
    Filter vertical = new Filter(picture.height(), top, bottom, height);
    boolean needHorizontal = width != picture.width() || left != 0 || right != width;
    boolean needVertical = height != picture.height() || top != 0 || bottom != height;

    byte[] rows = picture.rgb();
    int firstRow = 0;
    if (needHorizontal) {
      firstRow = needVertical ? vertical.first() : 0;
      int lastRow = needVertical ? vertical.last() : picture.height();
      if (3L * width * (lastRow - firstRow) > Integer.MAX_VALUE - 8) {
        throw new IllegalArgumentException("cannot resize " + picture + " to width " + width);
      }
      rows = horizontalPass(picture, horizontal, firstRow, lastRow);
    }
    if (needVertical) {
      rows = verticalPass(rows, width, firstRow, vertical);
    } else if (!needHorizontal) {
      rows = rows.clone();
    }
    return new Picture(width, height, rows);
  }

  private static byte[] horizontalPass(Picture picture, Filter filter, int firstRow, int lastRow) {
    int width = filter.start.length;
    byte[] in = picture.rgb();
    byte[] out = new byte[3 * width * (lastRow - firstRow)];
    int to = 0;
    for (int y = firstRow; y < lastRow; y++) {
      int row = 3 * y * picture.width();
      for (int x = 0; x < width; x++) {
        int from = row + 3 * filter.start[x];
        int weight = x * filter.taps;
        int last = weight + filter.count[x];
        int r = 1 << (PRECISION_BITS - 1);
        int g = r;
        int b = r;
        for (int k = weight; k < last; k++, from += 3) {
          int w = filter.weights[k];
          r += (in[from] & 0xFF) * w;
          g += (in[from + 1] & 0xFF) * w;
          b += (in[from + 2] & 0xFF) * w;
        }
        out[to++] = clip(r);
        out[to++] = clip(g);
        out[to++] = clip(b);
      }
    }
    return out;
  }

  private static byte[] verticalPass(byte[] in, int width, int firstRow, Filter filter) {
    int height = filter.start.length;
    int stride = 3 * width;
    byte[] out = new byte[stride * height];
    int[] sums = new int[stride];
    for (int y = 0; y < height; y++) {
      Arrays.fill(sums, 1 << (PRECISION_BITS - 1));
      int from = (filter.start[y] - firstRow) * stride;
      for (int k = 0; k < filter.count[y]; k++, from += stride) {
        int w = filter.weights[y * filter.taps + k];
        for (int i = 0; i < stride; i++) {
          sums[i] += (in[from + i] & 0xFF) * w;
        }
      }
      for (int i = 0; i < stride; i++) {
        out[y * stride + i] = clip(sums[i]);
      }
    }
    return out;
  }

  private static byte clip(int sum) {
    return (byte) Math.clamp(sum >> PRECISION_BITS, 0, 255);
  }

  /** For each output position the input positions that it is made of, and their weights. */
  private static final class Filter {
    /** First input position of each output position. */
    final int[] start;

    /** How many input positions each output position has. */
    final int[] count;

    /** Weights of an output position's inputs, {@code taps} apart, times 2^22. */
    final int[] weights;

    final int taps;

    Filter(int inSize, float from, float to, int outSize) {
      double scale = (double) (to - from) / outSize;
      double filterScale = Math.max(scale, 1);
      double support = SUPPORT * filterScale;
      taps = (int) Math.ceil(support) * 2 + 1;
      start = new int[outSize];
      count = new int[outSize];
      weights = new int[Math.multiplyExact(outSize, taps)];
      double[] exact = new double[taps];
      double inverse = 1.0 / filterScale;
      for (int i = 0; i < outSize; i++) {
        double centre = from + (i + 0.5) * scale;
        start[i] = Math.max((int) (centre - support + 0.5), 0);
        count[i] = Math.min((int) (centre + support + 0.5), inSize) - start[i];
        double sum = 0;
        for (int k = 0; k < count[i]; k++) {
          exact[k] = cubic((k + start[i] - centre + 0.5) * inverse);
          sum += exact[k];
        }
        for (int k = 0; k < count[i]; k++) {
          double normal = sum == 0 ? exact[k] : exact[k] / sum;
          double fixed = normal * (1 << PRECISION_BITS);
          weights[i * taps + k] = (int) (normal < 0 ? fixed - 0.5 : fixed + 0.5);
        }
      }
    }

    /** First input position of all. */
    int first() {
      return start[0];
    }

    /** Position after the last input position of all. */
    int last() {
      return start[start.length - 1] + count[count.length - 1];
    }

    private static double cubic(double signed) {
      double x = Math.abs(signed);
      if (x < 1) {
        return ((A + 2) * x - (A + 3)) * x * x + 1;
      }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * A : 0;
    }
  }
}
