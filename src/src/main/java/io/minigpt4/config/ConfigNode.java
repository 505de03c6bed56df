package io.minigpt4.config;

import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.UserException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A value in a configuration file — JSON or YAML — that knows where it stands, so that whoever
 * finds it unfit can say so. A key whose value is null counts as absent everywhere.
 */
public final class ConfigNode {
  private final String file;
  private final int line;
  private final String path;
  private final @Nullable Object value;

  /** The keys that were asked for, whether they are there or not. */
  private final Set<String> asked = new LinkedHashSet<>();

  /**
   * @param file the file's name, or where else the value comes from
   * @param line counted from 1; 0 if there are no lines
   * @param path keys from the root, joined by dots; empty for the root
   * @param value null, Boolean, Long, Double, String, {@code List<ConfigNode>} or {@code
   *     Map<String, ConfigNode>}
   */
  ConfigNode(String file, int line, String path, @Nullable Object value) {
    this.file = file;
    this.line = line;
    this.path = path;
    this.value = value;
  }

  /** Whether this is an object (a mapping). */
  boolean isMap() {
    return value instanceof Map;
  }

  /** Whether the value is null. */
  boolean isNull() {
    return value == null;
  }

  /** The value as the constructor got it. */
  @Nullable Object raw() {
    return value;
  }

  /** Whether this is a list. */
  boolean isList() {
    return value instanceof List;
  }

  /** The entries, in the file's order; to be changed by this package only. */
  @SuppressWarnings("unchecked") // the constructor's contract
  Map<String, ConfigNode> entries() {
    if (!(value instanceof Map)) {
      throw unfit("an object");
    }
    return (Map<String, ConfigNode>) value;
  }

  /** The keys of an object, in the file's order. */
  public Set<String> keys() {
    return Collections.unmodifiableSet(entries().keySet());
  }

  /** Keys from the root, joined by dots. */
  public String path() {
    return path;
  }

  /** The path that a child of this node has. */
  String childPath(String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  /** The value of a key, or null if there is none or it is null. */
  public @Nullable ConfigNode find(String key) {
    asked.add(key);
    ConfigNode child = entries().get(key);
    return child == null || child.value == null ? null : child;
  }

  /**
   * The value of a key.
   *
   * @throws UserException if there is none
   */
  public ConfigNode get(String key) {
    ConfigNode child = find(key);
    if (child == null) {
      throw new UserException(place() + ": '" + childPath(key) + "' is missing");
    }
    return child;
  }

  /** The object under a key; an empty one if there is none. */
  public ConfigNode object(String key) {
    ConfigNode child = find(key);
    return child == null
        ? new ConfigNode(file, line, childPath(key), new LinkedHashMap<String, ConfigNode>())
        : child;
  }

  /**
   * Warnings about keys that nobody has asked for until now, here and below.
   *
   * @return for each a line that says that it is ignored, and which known key is nearest
   */
  List<String> ignoredKeys() {
    List<String> warnings = new ArrayList<>();
    for (ConfigNode child : entries().values()) {
      String key = child.path.substring(path.isEmpty() ? 0 : path.length() + 1);
      if (asked.contains(key)) {
        warnings.addAll(child.isMap() ? child.ignoredKeys() : List.of());
      } else {
        List<String> nearest = Suggestions.nearest(key, asked, 1);
        warnings.add(
            child.place()
                + ": unknown key '"
                + child.path
                + "' is ignored"
                + (nearest.isEmpty()
                    ? ""
                    : "; the nearest known one is '" + childPath(nearest.getFirst()) + "'"));
      }
    }
    return warnings;
  }

  /** A whole number that must be there. */
  public int integer(String key, int min, int max) {
    return get(key).asInteger(min, max);
  }

  /** A whole number, or {@code fallback} if there is none. */
  public int integer(String key, int fallback, int min, int max) {
    ConfigNode child = find(key);
    return child == null ? fallback : child.asInteger(min, max);
  }

  /** A number, or {@code fallback} if there is none. */
  public double number(String key, double fallback, double min, double max) {
    ConfigNode child = find(key);
    return child == null ? fallback : child.asNumber(min, max);
  }

  /** A truth value, or {@code fallback} if there is none. */
  public boolean flag(String key, boolean fallback) {
    ConfigNode child = find(key);
    return child == null ? fallback : child.asFlag();
  }

  /** A text, or {@code fallback} if there is none. */
  public String text(String key, String fallback) {
    ConfigNode child = find(key);
    return child == null ? fallback : child.asText();
  }

  /** This value as a whole number from {@code min} to {@code max}. */
  public int asInteger(int min, int max) {
    if (value instanceof Long number && number >= min && number <= max) {
      return number.intValue();
    }
    throw unfit("a whole number from " + min + " to " + max);
  }

  /** This value as a number from {@code min} to {@code max}. */
  public double asNumber(double min, double max) {
    if (value instanceof Number number
        && number.doubleValue() >= min
        && number.doubleValue() <= max) {
      return number.doubleValue();
    }
    throw unfit(
        max == Double.MAX_VALUE ? "a number ≥ " + min : "a number from " + min + " to " + max);
  }

  /** This value as true or false; yes, no, on and off count, as they do in YAML 1.1. */
  public boolean asFlag() {
    if (value instanceof Boolean flag) {
      return flag;
    }
    if (value instanceof String text) {
      switch (text.toLowerCase(Locale.ROOT)) {
        case "yes", "on" -> {
          return true;
        }
        case "no", "off" -> {
          return false;
        }
        default -> {}
      }
    }
    throw unfit("true or false");
  }

  /** This value as text. Numbers are not text: they want quotes. */
  public String asText() {
    if (value instanceof String text) {
      return text;
    }
    throw unfit("a text (in quotes)");
  }

  /** This value as a list. */
  @SuppressWarnings("unchecked") // the constructor's contract
  public List<ConfigNode> asList() {
    if (value instanceof List) {
      return Collections.unmodifiableList((List<ConfigNode>) value);
    }
    throw unfit("a list");
  }

  /** This value as one or several texts. */
  public List<String> asTexts() {
    return isList() ? asList().stream().map(ConfigNode::asText).toList() : List.of(asText());
  }

  /** The exception for a value that is not what it must be. */
  public UserException unfit(String expected) {
    return new UserException(place() + ": '" + path + "' is " + this + ", expected " + expected);
  }

  /** File and line, for messages. */
  public String place() {
    return line == 0 ? file : file + ":" + line;
  }

  /** The same value from another place, which has no lines; its children keep theirs. */
  ConfigNode from(String newFile) {
    return new ConfigNode(newFile, 0, path, value);
  }

  /**
   * The value as plain Java: null, Boolean, Long, Double, String, List or Map, for whoever passes a
   * configuration on as it is.
   */
  public @Nullable Object toPlain() {
    if (value instanceof List) {
      List<@Nullable Object> plain = new ArrayList<>();
      asList().forEach(e -> plain.add(e.toPlain()));
      return plain;
    }
    if (value instanceof Map) {
      Map<String, @Nullable Object> plain = new LinkedHashMap<>();
      entries().forEach((k, v) -> plain.put(k, v.toPlain()));
      return plain;
    }
    return value;
  }

  /** A short description of the value for messages. */
  @Override
  public String toString() {
    if (value instanceof Map) {
      return "an object";
    }
    if (value instanceof List) {
      return "a list";
    }
    if (value instanceof String text) {
      return "'" + (text.length() > 60 ? text.substring(0, 60) + "…" : text) + "'";
    }
    return String.valueOf(value);
  }
}
