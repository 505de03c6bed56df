package io.minigpt4.weights;

import io.minigpt4.tensor.UserException;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Amounts of bytes, as people write and read them. */
final class Sizes {
  private static final Pattern SIZE = Pattern.compile("(\\d{1,12})\\s*([kKmMgGtT]?)[bB]?");

  private Sizes() {}

  /**
   * Reads "500M", "4GB", "1000": powers of 1000, as disks and downloads are counted.
   *
   * @throws UserException if it is not a positive size
   */
  static long parse(String option, String text) {
    Matcher m = SIZE.matcher(text.strip());
    if (!m.matches()) {
      throw new UserException(option + " '" + text + "' is not a size such as 500M or 4G");
    }
    long unit =
        switch (m.group(2).toLowerCase(Locale.ROOT)) {
          case "k" -> 1_000L;
          case "m" -> 1_000_000L;
          case "g" -> 1_000_000_000L;
          case "t" -> 1_000_000_000_000L;
          default -> 1L;
        };
    try {
      long bytes = Math.multiplyExact(Long.parseLong(m.group(1)), unit);
      if (bytes > 0) {
        return bytes;
      }
    } catch (ArithmeticException e) {
      throw new UserException(option + " '" + text + "' is too large", e);
    }
    throw new UserException(option + " must be more than nothing");
  }

  /** A size in the unit that suits it. */
  static String show(long bytes) {
    if (bytes < 1000) {
      return bytes + " B";
    }
    double value = bytes;
    int unit = -1;
    while (value >= 999.95) {
      value /= 1000;
      unit++;
    }
    return String.format(Locale.ROOT, "%.1f %cB", value, "kMGTPE".charAt(unit));
  }
}
