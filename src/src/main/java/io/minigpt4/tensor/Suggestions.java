package io.minigpt4.tensor;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/** Finds what a user probably meant: the known names nearest to a misspelt one. */
public final class Suggestions {
  /** Longer names are compared by their first characters only, to bound the work. */
  private static final int MAX_LENGTH = 200;

  private Suggestions() {}

  /**
   * The known names nearest to {@code name} by edit distance, nearest first, ties in the order
   * given.
   *
   * @param limit at most so many
   */
  public static List<String> nearest(String name, Collection<String> known, int limit) {
    record Scored(String name, int distance) {}
    List<Scored> scored = new ArrayList<>(known.size());
    for (String candidate : known) {
      scored.add(new Scored(candidate, distance(name, candidate)));
    }
    scored.sort(Comparator.comparingInt(Scored::distance));
    return scored.stream().limit(limit).map(Scored::name).toList();
  }

  /**
   * The one known name that is nearest, if it is close enough to be a misspelling: at most a third
   * of the longer name's characters changed.
   */
  public static Optional<String> misspelt(String name, Collection<String> known) {
    return nearest(name, known, 1).stream()
        .filter(best -> 3 * distance(name, best) <= Math.max(name.length(), best.length()))
        .findFirst();
  }

  /**
   * Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours
   * that turn one string into the other.
   */
  static int distance(String a, String b) {
    int n = Math.min(a.length(), MAX_LENGTH);
    int m = Math.min(b.length(), MAX_LENGTH);
    int[] beforeLast = new int[m + 1];
    int[] last = new int[m + 1];
    int[] row = new int[m + 1];
    for (int j = 0; j <= m; j++) {
      last[j] = j;
    }
    for (int i = 1; i <= n; i++) {
      row[0] = i;
      for (int j = 1; j <= m; j++) {
        int change = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        row[j] = Math.min(Math.min(row[j - 1], last[j]) + 1, last[j - 1] + change);
        boolean swapped =
            i > 1
                && j > 1
                && a.charAt(i - 1) == b.charAt(j - 2)
                && a.charAt(i - 2) == b.charAt(j - 1);
        if (swapped) {
          row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
        }
      }
      int[] spare = beforeLast;
      beforeLast = last;
      last = row;
      row = spare;
    }
    return last[m];
  }
}
