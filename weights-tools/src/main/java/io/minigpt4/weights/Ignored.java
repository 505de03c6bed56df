package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.cli.Printable;
import java.io.PrintWriter;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Tells which tensors of a file are not taken over; names that differ in numbers only are one. */
final class Ignored {
  private Ignored() {}

  /**
   * Prints what is not used.
   *
   * @param what the file
   * @param used names of tensors that are
   */
  static void report(PrintWriter out, String what, Checkpoint checkpoint, Set<String> used) {
    Map<String, Integer> groups = new TreeMap<>();
    int count = 0;
    for (String name : checkpoint.names()) {
      if (!used.contains(name)) {
        groups.merge(name.replaceAll("(?<=\\.)\\d+(?=\\.|$)", "*"), 1, Integer::sum);
        count++;
      }
    }
    if (count == 0) {
      return;
    }
    out.println("ignored in " + what + ": " + count + (count == 1 ? " tensor" : " tensors"));
    groups.forEach(
        (name, times) ->
            out.println("  " + Printable.line(name) + (times == 1 ? "" : " × " + times)));
  }
}
