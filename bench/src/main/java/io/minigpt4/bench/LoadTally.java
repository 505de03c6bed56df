package io.minigpt4.bench;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What clients got; for any number of threads. */
final class LoadTally {
  private final List<Long> firstNanos = new ArrayList<>();
  private final List<Long> wholeNanos = new ArrayList<>();
  private final Map<String, Integer> errors = new TreeMap<>();
  private long tokens;

  /** Counts a whole answer: how long its first piece and its end took, and its tokens. */
  synchronized void answer(long firstPieceNanos, long nanos, int newTokens) {
    firstNanos.add(firstPieceNanos);
    wholeNanos.add(nanos);
    tokens += newTokens;
  }

  /** Counts something that went wrong. */
  synchronized void error(String what) {
    errors.merge(what, 1, Integer::sum);
  }

  synchronized int errors() {
    return errors.values().stream().mapToInt(Integer::intValue).sum();
  }

  synchronized void report(Report report, double seconds) {
    report.add("answers", "", wholeNanos.size());
    report.add("errors", "", errors());
    report.add("answers a second", "1/s", wholeNanos.size() / seconds);
    report.add("tokens a second", "1/s", tokens / seconds);
    quantiles(report, "first token", firstNanos);
    quantiles(report, "whole answer", wholeNanos);
  }

  private static void quantiles(Report report, String name, List<Long> nanos) {
    for (int percent : new int[] {50, 99}) {
      report.add(name + ", p" + percent, "ms", 1e-6 * quantile(nanos, percent / 100.0));
    }
  }

  /** The smallest value that a share of all does not exceed; 0 if there are none. */
  static long quantile(List<Long> values, double share) {
    if (values.isEmpty()) {
      return 0;
    }
    List<Long> sorted = new ArrayList<>(values);
    Collections.sort(sorted);
    int rank = (int) Math.ceil(share * sorted.size());
    return sorted.get(Math.max(0, rank - 1));
  }

  synchronized void printErrors(PrintWriter out) {
    errors.forEach((what, count) -> out.println(count + " × " + what));
    out.flush();
  }
}
