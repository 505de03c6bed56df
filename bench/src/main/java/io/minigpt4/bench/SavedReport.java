package io.minigpt4.bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A report read back from its JSON, ours or a peer's: an object of facts, with an array {@code
 * results} of objects with {@code name}, {@code unit}, {@code median} and {@code values}. What else
 * there is does not matter here.
 *
 * @param facts about the run
 * @param rows what was measured, by name
 */
record SavedReport(Map<String, String> facts, Map<String, Row> rows) {
  /** One thing that was measured; a peer that gives no values has its median for them. */
  record Row(String unit, double median, double lowest, double highest) {}

  private static final String RESULTS = "results";

  /**
   * Reads a file.
   *
   * @throws UserException if it is missing or no report
   */
  static SavedReport read(Path file) {
    SavedReport report = new SavedReport(new LinkedHashMap<>(), new LinkedHashMap<>());
    boolean found = false;
    try (JsonParser json = new JsonFactory().createParser(Files.newBufferedReader(file))) {
      if (json.nextToken() != JsonToken.START_OBJECT) {
        throw new UserException(file + " is no report: no JSON object");
      }
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String name = json.currentName();
        JsonToken value = json.nextToken();
        if (name.equals(RESULTS) && value == JsonToken.START_ARRAY) {
          found = true;
          while (json.nextToken() == JsonToken.START_OBJECT) {
            report.addRow(json, file);
          }
        } else if (value.isScalarValue()) {
          report.facts.put(name, json.getText());
        } else {
          json.skipChildren();
        }
      }
    } catch (JsonProcessingException e) {
      throw new UserException(file + " is no JSON: " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new UserException(file + " cannot be read: " + UserException.reason(e), e);
    }
    if (!found) {
      throw new UserException(file + " is no report: it has no array \"" + RESULTS + "\"");
    }
    return report;
  }

  private void addRow(JsonParser json, Path file) throws IOException {
    String name = "";
    String unit = "";
    double median = Double.NaN;
    double lowest = Double.POSITIVE_INFINITY;
    double highest = Double.NEGATIVE_INFINITY;
    while (json.nextToken() == JsonToken.FIELD_NAME) {
      String field = json.currentName();
      JsonToken value = json.nextToken();
      if (field.equals("name")) {
        name = json.getText();
      } else if (field.equals("unit")) {
        unit = json.getText();
      } else if (field.equals("median") && value.isNumeric()) {
        median = json.getDoubleValue();
      } else if (field.equals("values") && value == JsonToken.START_ARRAY) {
        while (json.nextToken() != JsonToken.END_ARRAY) {
          lowest = Math.min(lowest, json.getDoubleValue());
          highest = Math.max(highest, json.getDoubleValue());
        }
      } else {
        json.skipChildren();
      }
    }
    if (name.isEmpty() || Double.isNaN(median)) {
      throw new UserException(file + " is no report: a result has no name or no median");
    }
    rows.put(name, new Row(unit, median, Math.min(lowest, median), Math.max(highest, median)));
  }
}
