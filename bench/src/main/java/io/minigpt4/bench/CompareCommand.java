package io.minigpt4.bench;

import io.minigpt4.bench.SavedReport.Row;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Two runs side by side, ours or a peer's, by the names of what they measured. */
@Command(
    name = "compare",
    description = {
      "Sets two JSON files of --json, or a peer's, side by side.",
      "The ratio says how many times as fast the first one is; in brackets what it is if the"
          + " rounds' extremes are taken."
    },
    mixinStandardHelpOptions = true)
final class CompareCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(index = "0", paramLabel = "A.json", description = "The run that is looked at.")
  private Path first = Path.of("");

  @Parameters(index = "1", paramLabel = "B.json", description = "The run that it is compared to.")
  private Path second = Path.of("");

  @Override
  public Integer call() {
    SavedReport a = SavedReport.read(first);
    SavedReport b = SavedReport.read(second);
    PrintWriter out = spec.commandLine().getOut();
    facts(out, "A", first, a);
    facts(out, "B", second, b);
    List<String> shared =
        a.rows().keySet().stream()
            .filter(name -> b.rows().containsKey(name))
            .filter(name -> unit(a, name).equals(unit(b, name)))
            .toList();
    if (shared.isEmpty()) {
      out.println("nothing in both has the same name and unit");
      out.flush();
      return 1;
    }
    out.printf(Locale.ROOT, "%-45s %12s %12s %-8s %s%n", "", "A", "B", "", "ratio");
    for (String name : shared) {
      line(out, name, row(a.rows(), name), row(b.rows(), name));
    }
    others(out, "A", a.rows(), shared);
    others(out, "B", b.rows(), shared);
    out.flush();
    return 0;
  }

  private static Row row(Map<String, Row> rows, String name) {
    Row row = rows.get(name);
    if (row == null) {
      throw new IllegalArgumentException("no row " + name);
    }
    return row;
  }

  private static String unit(SavedReport report, String name) {
    return row(report.rows(), name).unit();
  }

  private static void facts(PrintWriter out, String label, Path file, SavedReport report) {
    out.println(label + ": " + file + ", " + String.join(", ", report.facts().values()));
  }

  private static void line(PrintWriter out, String name, Row a, Row b) {
    // Of a rate more is better, of a time less.
    boolean rate = a.unit().endsWith("/s");
    double ratio = rate ? a.median() / b.median() : b.median() / a.median();
    double low = rate ? a.lowest() / b.highest() : b.lowest() / a.highest();
    double high = rate ? a.highest() / b.lowest() : b.highest() / a.lowest();
    out.printf(
        Locale.ROOT,
        "%-45s %12.2f %12.2f %-8s %5.2f (%.2f to %.2f)%n",
        name,
        a.median(),
        b.median(),
        a.unit(),
        ratio,
        low,
        high);
  }

  private static void others(
      PrintWriter out, String label, Map<String, Row> rows, List<String> shared) {
    List<String> names = rows.keySet().stream().filter(name -> !shared.contains(name)).toList();
    if (!names.isEmpty()) {
      out.println("only in " + label + ": " + String.join("; ", names));
    }
  }
}
