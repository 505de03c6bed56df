package io.minigpt4.train;

import java.util.Arrays;
import java.util.Locale;

/** The text processor {@code blip_caption} (Li et al. 2022). */
public final class CaptionText {
  private static final String MARKS = ".!\"()*#:;~";
  private static final int MOST_WORDS = 50;

  private CaptionText() {}

  /**
   * Lower case; each of {@code . ! " ( ) * # : ; ~} becomes a space, runs of white space one space;
   * line breaks at the end and spaces at both ends go; at most 50 words stay.
   */
  public static String clean(String caption) {
    StringBuilder text = new StringBuilder(caption.toLowerCase(Locale.ROOT));
    for (int i = 0; i < text.length(); i++) {
      if (MARKS.indexOf(text.charAt(i)) >= 0) {
        text.setCharAt(i, ' ');
      }
    }
    String single = text.toString().replaceAll("\\s{2,}", " ");
    String trimmed = single.replaceAll("\n+$", "").replaceAll("^ +| +$", "");
    String[] words = trimmed.split(" ", -1);
    if (words.length <= MOST_WORDS) {
      return trimmed;
    }
    return String.join(" ", Arrays.copyOf(words, MOST_WORDS));
  }
}
