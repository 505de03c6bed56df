package io.minigpt4.tensor;

import java.util.Locale;

/** Numbers of bytes for people. */
public final class ByteCounts {
  private ByteCounts() {}

  /** In decimal units, as GPUs and files are sold and listed: {@code 25.7 GB}. */
  public static String text(long bytes) {
    if (bytes >= 1_000_000_000L) {
      return String.format(Locale.ROOT, "%.1f GB", bytes / 1e9);
    }
    return bytes >= 1_000_000L
        ? String.format(Locale.ROOT, "%.1f MB", bytes / 1e6)
        : String.format(Locale.ROOT, "%d bytes", bytes);
  }
}
