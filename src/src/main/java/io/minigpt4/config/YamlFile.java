package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.common.Anchor;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.events.MappingStartEvent;
import org.snakeyaml.engine.v2.events.NodeEvent;
import org.snakeyaml.engine.v2.events.ScalarEvent;
import org.snakeyaml.engine.v2.events.SequenceStartEvent;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.Tag;
import org.snakeyaml.engine.v2.resolver.ScalarResolver;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/**
 * Reads YAML into {@link ConfigNode}s: one document, plain values only, keys that occur once,
 * bounded depth and size. Aliases are copies, and count.
 */
final class YamlFile {
  private static final int MAX_DEPTH = 64;
  private static final int MAX_NODES = 100_000;

  /** No number is longer; longer text need not be looked at by the patterns of numbers. */
  private static final int MAX_NUMBER = 64;

  private static final ScalarResolver RESOLVER = new CoreSchema().getScalarResolver();

  private final String where;
  private final Iterator<Event> events;
  private final Map<Anchor, ConfigNode> anchors = new HashMap<>();
  private int nodes;

  private YamlFile(String where, Iterator<Event> events) {
    this.where = where;
    this.events = events;
  }

  /**
   * Reads a file whose root is a mapping.
   *
   * @throws UserException if it is missing, unreadable, too large or not such YAML
   */
  static ConfigNode read(Path file) {
    return parse(file.toString(), ConfigText.read(file));
  }

  /**
   * Parses text whose root is a mapping; none at all counts as an empty one.
   *
   * @param where the file's name, for messages
   * @throws UserException if it is not such YAML
   */
  static ConfigNode parse(String where, String yaml) {
    ConfigNode root = document(where, "", yaml);
    if (root.isNull()) {
      return new ConfigNode(where, 1, "", new LinkedHashMap<String, ConfigNode>());
    }
    if (!root.isMap()) {
      throw new UserException(
          root.place() + ": " + root + " where 'model:', 'datasets:' and 'run:' are expected");
    }
    return root;
  }

  /**
   * Parses a text that may be any value.
   *
   * @param path where the value is going to stand
   */
  static ConfigNode document(String where, String path, String yaml) {
    LoadSettings settings = LoadSettings.builder().setLabel(where).build();
    Iterator<Event> events = new Parse(settings).parseString(yaml).iterator();
    try {
      return new YamlFile(where, events).document(path);
    } catch (MarkedYamlEngineException e) {
      throw new UserException(place(where, e.getProblemMark()) + ": " + e.getProblem(), e);
    } catch (YamlEngineException e) {
      throw new UserException(where + ": " + e.getMessage(), e);
    }
  }

  private static String place(String where, Optional<Mark> mark) {
    return where + mark.map(m -> ":" + (m.getLine() + 1)).orElse("");
  }

  private ConfigNode document(String path) {
    events.next(); // the stream's start
    Event first = events.next();
    if (first.getEventId() == Event.ID.StreamEnd) {
      return new ConfigNode(where, 1, path, null);
    }
    Event start = events.next();
    ConfigNode root = node(start, line(start), path, 0);
    events.next(); // the document's end
    Event last = events.next();
    if (last.getEventId() != Event.ID.StreamEnd) {
      throw bad(last, "a second document: one is expected");
    }
    return root;
  }

  /**
   * @param line where the value, or the key before it, stands
   */
  private ConfigNode node(Event event, int line, String path, int depth) {
    count(event, 1);
    if (depth > MAX_DEPTH) {
      throw bad(event, "nested deeper than " + MAX_DEPTH + " levels");
    }
    if (event instanceof AliasEvent alias) {
      ConfigNode target = anchors.get(alias.getAlias());
      if (target == null) {
        throw bad(event, "the alias *" + alias.getAlias() + " has no anchor before it");
      }
      return copy(event, line, target, path);
    }
    Object value;
    if (event instanceof ScalarEvent scalar) {
      value = scalar(scalar);
    } else if (event instanceof SequenceStartEvent) {
      value = sequence(path, depth);
    } else if (event instanceof MappingStartEvent) {
      value = mapping(path, depth);
    } else {
      throw bad(event, "a value is missing");
    }
    ConfigNode node = new ConfigNode(where, line, path, value);
    ((NodeEvent) event).getAnchor().ifPresent(a -> anchors.put(a, node));
    return node;
  }

  private List<ConfigNode> sequence(String path, int depth) {
    List<ConfigNode> list = new ArrayList<>();
    for (Event e = events.next(); e.getEventId() != Event.ID.SequenceEnd; e = events.next()) {
      list.add(node(e, line(e), path + "[" + list.size() + "]", depth + 1));
    }
    return list;
  }

  private Map<String, ConfigNode> mapping(String path, int depth) {
    Map<String, ConfigNode> map = new LinkedHashMap<>();
    for (Event e = events.next(); e.getEventId() != Event.ID.MappingEnd; e = events.next()) {
      if (!(e instanceof ScalarEvent scalar)) {
        throw bad(e, "a key that is not a word");
      }
      String key = scalar.getValue();
      String childPath = path.isEmpty() ? key : path + "." + key;
      if (map.put(key, node(events.next(), line(e), childPath, depth + 1)) != null) {
        throw bad(e, "the key '" + childPath + "' occurs twice");
      }
    }
    return map;
  }

  private @Nullable Object scalar(ScalarEvent event) {
    String text = event.getValue();
    Tag tag = text.length() > MAX_NUMBER ? Tag.STR : RESOLVER.resolve(text, event.isPlain());
    String explicit = event.getTag().orElse(null);
    if (explicit != null && !explicit.equals("!")) {
      if (!explicit.equals(Tag.STR.getValue())) {
        throw bad(event, "the tag " + explicit + " is not supported");
      }
      tag = Tag.STR;
    }
    if (tag.equals(Tag.NULL)) {
      return null;
    } else if (tag.equals(Tag.BOOL)) {
      return text.equalsIgnoreCase("true");
    } else if (tag.equals(Tag.INT) || tag.equals(Tag.FLOAT)) {
      return number(event, text);
    }
    return text;
  }

  private Object number(ScalarEvent event, String text) {
    try {
      if (text.startsWith("0x")) {
        return Long.parseLong(text.substring(2), 16);
      } else if (text.startsWith("0o")) {
        return Long.parseLong(text.substring(2), 8);
      } else if (text.matches("[-+]?[0-9]{1,18}")) {
        return Long.parseLong(text);
      } else if (text.toLowerCase(Locale.ROOT).endsWith(".inf")) {
        return text.startsWith("-") ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
      } else if (text.equalsIgnoreCase(".nan")) {
        return Double.NaN;
      }
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw bad(event, "the number " + text + " is out of range");
    }
  }

  /** A copy under another path. */
  private ConfigNode copy(Event event, int line, ConfigNode node, String path) {
    count(event, 1);
    Object value = node.raw();
    if (node.isMap()) {
      Map<String, ConfigNode> map = new LinkedHashMap<>();
      node.entries()
          .forEach((key, child) -> map.put(key, copy(event, line, child, path + "." + key)));
      value = map;
    } else if (node.isList()) {
      List<ConfigNode> list = new ArrayList<>();
      for (ConfigNode child : node.asList()) {
        list.add(copy(event, line, child, path + "[" + list.size() + "]"));
      }
      value = list;
    }
    return new ConfigNode(where, line, path, value);
  }

  private static int line(Event event) {
    return event.getStartMark().map(m -> m.getLine() + 1).orElse(0);
  }

  private void count(Event event, int more) {
    nodes += more;
    if (nodes > MAX_NODES) {
      throw bad(event, "more than " + MAX_NODES + " values");
    }
  }

  private UserException bad(Event event, String reason) {
    return new UserException(place(where, event.getStartMark()) + ": " + reason);
  }
}
