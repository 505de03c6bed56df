package io.minigpt4.image;

/**
 * How pictures are read, and how large they may be. The limits are checked against the header,
 * before memory is taken for pixels.
 *
 * @param maxBytes longest file, in bytes
 * @param maxPixels most pixels (width × height) of the picture and of anything it is made of
 * @param maxDimension largest width or height, in pixels
 * @param applyOrientation whether to turn and mirror the picture as its EXIF orientation says. Off
 *     in MiniGPT-4's Python version, which sees the pixels as they are stored. (A TIFF's own
 *     orientation tag is part of the format and always applied, as Pillow does.)
 */
public record PictureOptions(
    long maxBytes, long maxPixels, int maxDimension, boolean applyOrientation) {

  /**
   * 256 MiB; 89,478,485 pixels, where Pillow starts to warn of decompression bombs (their RGB bytes
   * take 256 MiB); 65,535 pixels a side, the most that JPEG can have; orientation not applied.
   */
  public static final PictureOptions DEFAULT =
      new PictureOptions(256L << 20, 89_478_485L, 65_535, false);

  /**
   * @throws IllegalArgumentException if a limit is not positive, or maxPixels so large that the RGB
   *     bytes do not fit a Java array
   */
  public PictureOptions {
    if (maxBytes <= 0 || maxPixels <= 0 || maxDimension <= 0) {
      throw new IllegalArgumentException("limits must be positive");
    }
    if (maxPixels > Picture.MAX_PIXELS) {
      throw new IllegalArgumentException("at most " + Picture.MAX_PIXELS + " pixels are possible");
    }
  }

  /** The same with another answer to whether the EXIF orientation is applied. */
  public PictureOptions withOrientation(boolean apply) {
    return new PictureOptions(maxBytes, maxPixels, maxDimension, apply);
  }

  /** The same with another limit of pixels. */
  public PictureOptions withMaxPixels(long pixels) {
    return new PictureOptions(maxBytes, pixels, maxDimension, applyOrientation);
  }

  /** Checks a size that a header declares. */
  void check(String format, long width, long height) throws DecodeException {
    if (width <= 0 || height <= 0) {
      throw DecodeException.damaged(format, "a size of " + width + "×" + height + " pixels");
    }
    String size = "a " + format + " of " + width + "×" + height + " pixels";
    if (width > maxDimension || height > maxDimension) {
      throw DecodeException.tooLarge(size, maxDimension + " pixels a side");
    }
    if (width * height > maxPixels) {
      throw DecodeException.tooLarge(size, maxPixels + " pixels");
    }
  }
}
