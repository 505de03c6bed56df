package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The values of {@code --options}: {@code key.sub=value}, or as the Python version also takes them
 * {@code key.sub value}. A value is read as YAML: numbers, true and false, null, [lists], text.
 */
final class Overrides {
  private static final String WHERE = "--options";

  private Overrides() {}

  /**
   * Sets values in a configuration.
   *
   * @param root changed in place
   * @throws UserException if an option is not of that form, or its key leads through a value
   */
  static void apply(ConfigNode root, List<String> options) {
    if (!options.isEmpty() && options.getFirst().indexOf('=') < 0) {
      if (options.size() % 2 != 0) {
        throw new UserException(
            WHERE + " '" + options.getLast() + "' has no value: write key.sub=value");
      }
      for (int i = 0; i < options.size(); i += 2) {
        set(root, options.get(i), options.get(i + 1));
      }
      return;
    }
    for (String option : options) {
      int equals = option.indexOf('=');
      if (equals < 0) {
        throw new UserException(WHERE + " '" + option + "' is not of the form key.sub=value");
      }
      set(root, option.substring(0, equals), option.substring(equals + 1));
    }
  }

  private static void set(ConfigNode root, String path, String text) {
    String[] keys = path.split("\\.", -1);
    Map<String, ConfigNode> map = root.entries();
    String at = "";
    for (int i = 0; i < keys.length; i++) {
      if (keys[i].isBlank()) {
        throw new UserException(WHERE + " '" + path + "=…' has an empty word in its key");
      }
      at = at.isEmpty() ? keys[i] : at + "." + keys[i];
      if (i == keys.length - 1) {
        map.put(keys[i], value(at, text));
        return;
      }
      ConfigNode next = map.get(keys[i]);
      if (next == null || next.isNull()) {
        next = new ConfigNode(WHERE, 0, at, new LinkedHashMap<String, ConfigNode>());
        map.put(keys[i], next);
      }
      if (!next.isMap()) {
        throw new UserException(
            WHERE + " '" + path + "' leads through '" + at + "', which is " + next);
      }
      map = next.entries();
    }
  }

  private static ConfigNode value(String path, String text) {
    boolean quoted = text.startsWith("'") || text.startsWith("\"") || text.startsWith("[");
    boolean isNull = text.isEmpty() || text.equals("null") || text.equals("~");
    // A prompt may begin with '#' and hold ': ', which YAML would not take for text.
    if (YamlSchema.isText(path) && !quoted && !isNull) {
      return new ConfigNode(WHERE, 0, path, text);
    }
    return YamlFile.document(WHERE + " " + path, path, text).from(WHERE);
  }
}
