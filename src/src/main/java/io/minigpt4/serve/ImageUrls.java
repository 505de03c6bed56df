package io.minigpt4.serve;

import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.UserException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Locale;
import java.util.regex.Pattern;

/** Pictures by the addresses that requests give: {@code data:} ones, and listed hosts'. */
final class ImageUrls {
  /** Bytes of a picture's file. */
  static final int MAX_BYTES = 20 << 20;

  /** Pixels of a picture. */
  static final long MAX_PIXELS = 1L << 25;

  private static final PictureOptions OPTIONS =
      new PictureOptions(MAX_BYTES, MAX_PIXELS, 65_535, false);

  private static final Pattern DATA =
      Pattern.compile("data:[a-z0-9.+/-]*(;[a-z0-9=._-]+)*;base64", Pattern.CASE_INSENSITIVE);

  private static final int LONGEST_TYPE = 200;

  private final RemoteImages remote;

  ImageUrls(RemoteImages remote) {
    this.remote = remote;
  }

  /**
   * The bytes that an address stands for.
   *
   * @throws ApiException if it is none that is taken here, or cannot be fetched
   */
  byte[] bytes(String url) {
    String start = url.substring(0, Math.min(url.length(), 8)).toLowerCase(Locale.ROOT);
    if (start.startsWith("data:")) {
      return data(url);
    }
    if (start.startsWith("http://") || start.startsWith("https://")) {
      return remote.fetch(url);
    }
    throw wrong("an image_url must be a data: URI with base64, as data:image/png;base64,…");
  }

  private static byte[] data(String url) {
    int comma = url.substring(0, Math.min(url.length(), LONGEST_TYPE)).indexOf(',');
    if (comma < 0 || !DATA.matcher(url.substring(0, comma)).matches()) {
      throw wrong("an image's data: URI must be in base64, as data:image/png;base64,…");
    }
    if ((url.length() - comma) / 4L * 3 > MAX_BYTES + 3) {
      throw wrong("an image is longer than " + MAX_BYTES + " bytes; make it smaller");
    }
    try {
      return Base64.getDecoder()
          .decode(url.substring(comma + 1).getBytes(StandardCharsets.ISO_8859_1));
    } catch (IllegalArgumentException e) {
      throw wrong("an image's data: URI is no valid base64");
    }
  }

  /**
   * Decodes a picture.
   *
   * @param number what to call it, from 1
   * @throws ApiException if it is none, or too large
   */
  static Picture decode(byte[] bytes, int number) {
    try {
      return Pictures.read(bytes, "image " + number, OPTIONS);
    } catch (UserException e) {
      throw wrong(String.valueOf(e.getMessage()));
    }
  }

  private static ApiException wrong(String message) {
    return ApiException.refused(400, "messages", "invalid_image", message);
  }
}
