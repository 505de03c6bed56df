package io.minigpt4.image;

import java.io.IOException;

/**
 * The bytes of a picture are not what their format allows, or more than the limits allow. The
 * message says what was found, without the file's name, which {@link Pictures} puts in front.
 */
final class DecodeException extends IOException {
  private static final long serialVersionUID = 1L;

  private static final String GET_AGAIN = "get the file again or save it anew";
  private static final String CONVERT = "convert it to PNG or JPEG";

  private DecodeException(String found, String remedy) {
    super(found + "; " + remedy);
  }

  /** The file ends before the picture does. */
  static DecodeException truncated(String format) {
    return new DecodeException("truncated " + format + ": the file ends too early", GET_AGAIN);
  }

  /** The format's rules are broken. */
  static DecodeException damaged(String format, String what) {
    return new DecodeException("damaged " + format + ": " + what, GET_AGAIN);
  }

  /** A legal variant that is not read here. */
  static DecodeException unsupported(String format, String what) {
    return new DecodeException(format + " with " + what + " is not supported", CONVERT);
  }

  /** Something that is no picture, or a kind of picture that is not read here. */
  static DecodeException notAPicture(String what) {
    return new DecodeException(what, "give a PNG, JPEG, GIF, BMP, WebP or TIFF file");
  }

  /** More than the limits of {@link PictureOptions} allow. */
  static DecodeException tooLarge(String what, String limit) {
    return new DecodeException(
        what + ", more than the limit of " + limit, "make the picture smaller");
  }
}
