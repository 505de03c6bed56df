package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Names of archives written as brace ranges, {@code data/{00000..01255}.tar}. */
public final class Shards {
  private static final Pattern RANGE = Pattern.compile("\\{(\\d{1,9})\\.\\.(\\d{1,9})\\}");
  private static final int MOST = 10_000_000;

  private Shards() {}

  /**
   * All names that a pattern stands for, numbers as wide as the range's first one.
   *
   * @throws UserException if a range runs backwards or there are too many names
   */
  public static List<String> expand(String pattern) {
    Matcher range = RANGE.matcher(pattern);
    if (!range.find()) {
      return List.of(pattern);
    }
    int from = Integer.parseInt(range.group(1));
    int to = Integer.parseInt(range.group(2));
    if (to < from || (long) to - from >= MOST) {
      throw new UserException(
          "the range "
              + range.group()
              + " in "
              + pattern
              + " must go from a smaller to a larger number, over at most "
              + MOST
              + " of them");
    }
    int width = range.group(1).length();
    List<String> names = new ArrayList<>();
    for (String rest : expand(pattern.substring(range.end()))) {
      for (int i = from; i <= to; i++) {
        names.add(pattern.substring(0, range.start()) + pad(i, width) + rest);
      }
    }
    return names;
  }

  /**
   * All names that a pattern stands for, of which there is at least one: some are missing from a
   * set that was fetched in part, all only where the path is wrong.
   *
   * @throws UserException if a range runs backwards or there is none of the files
   */
  static List<String> existing(String pattern) {
    List<String> names = expand(pattern);
    if (names.stream().noneMatch(name -> Files.exists(Path.of(name)))) {
      throw new UserException(
          names.size() == 1
              ? pattern + " does not exist"
              : "none of the " + names.size() + " files of " + pattern + " exists");
    }
    return names;
  }

  private static String pad(int number, int width) {
    String digits = Integer.toString(number);
    return "0".repeat(Math.max(0, width - digits.length())) + digits;
  }
}
