package io.minigpt4.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Collects values over rounds, and prints medians with their spread, as a table or as JSON. */
final class Report {
  /**
   * What was measured of one thing.
   *
   * @param values one a round
   * @param limits what the machine could do just before, one a round; empty if nothing limits it
   */
  private record Row(String unit, List<Double> values, List<Double> limits) {}

  private final Map<String, String> facts = new LinkedHashMap<>();
  private final Map<String, Row> rows = new LinkedHashMap<>();

  /** A fact about the run, e.g. the number of threads. */
  void fact(String name, Object value) {
    facts.put(name, value.toString());
  }

  /** One round's value of something that has no limit. */
  void add(String name, String unit, double value) {
    rows.computeIfAbsent(name, n -> new Row(unit, new ArrayList<>(), new ArrayList<>()))
        .values
        .add(value);
  }

  /** One round's value, and the limit measured beside it in the same unit. */
  void add(String name, String unit, double value, double limit) {
    add(name, unit, value);
    Row row = rows.get(name);
    if (row != null) {
      row.limits.add(limit);
    }
  }

  private static double[] shares(Row row) {
    double[] shares = new double[row.limits.size()];
    for (int i = 0; i < shares.length; i++) {
      shares[i] = row.values.get(i) / row.limits.get(i);
    }
    return shares;
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  private static double[] array(List<Double> values) {
    return values.stream().mapToDouble(v -> v).toArray();
  }

  /** The table for people. */
  void print(PrintWriter out) {
    facts.forEach((name, value) -> out.println(name + ": " + value));
    out.printf(
        Locale.ROOT, "%-42s %9s %9s %9s %-8s %s%n", "", "median", "lowest", "highest", "", "share");
    rows.forEach(
        (name, row) -> {
          double[] values = array(row.values);
          out.printf(
              Locale.ROOT,
              "%-42s %9.1f %9.1f %9.1f %-8s",
              name,
              median(values),
              Arrays.stream(values).min().orElse(0),
              Arrays.stream(values).max().orElse(0),
              row.unit);
          if (!row.limits.isEmpty()) {
            out.printf(Locale.ROOT, " %3.0f %%", 100 * median(shares(row)));
          }
          out.println();
        });
    out.flush();
  }

  /** Writes the same as JSON, all rounds included; nothing if there is no file. */
  void write(@Nullable Path file) {
    if (file == null) {
      return;
    }
    try (JsonGenerator json = new JsonFactory().createGenerator(Files.newBufferedWriter(file))) {
      json.useDefaultPrettyPrinter();
      json.writeStartObject();
      for (Map.Entry<String, String> fact : facts.entrySet()) {
        json.writeStringField(fact.getKey(), fact.getValue());
      }
      json.writeArrayFieldStart("results");
      for (Map.Entry<String, Row> entry : rows.entrySet()) {
        Row row = entry.getValue();
        json.writeStartObject();
        json.writeStringField("name", entry.getKey());
        json.writeStringField("unit", row.unit);
        json.writeNumberField("median", median(array(row.values)));
        write(json, "values", row.values);
        if (!row.limits.isEmpty()) {
          json.writeNumberField("share", median(shares(row)));
          write(json, "limits", row.limits);
        }
        json.writeEndObject();
      }
      json.writeEndArray();
      json.writeEndObject();
    } catch (IOException e) {
      throw new UserException("cannot write " + file + ": " + e.getMessage(), e);
    }
  }

  private static void write(JsonGenerator json, String name, List<Double> values)
      throws IOException {
    json.writeFieldName(name);
    json.writeArray(array(values), 0, values.size());
  }
}
