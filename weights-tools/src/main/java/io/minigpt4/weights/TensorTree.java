package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.cli.Printable;
import io.minigpt4.tensor.Tensor;
import java.io.PrintWriter;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/** Tensors as a tree along the dots of their names; numbered branches that are alike are one. */
final class TensorTree {
  /** Levels that are shown; no model has more, and a name may be made of thousands of dots. */
  private static final int DEEPEST = 32;

  private final Map<String, TensorTree> children = new LinkedHashMap<>();
  private @Nullable String leaf;
  private long parameters;
  private long bytes;

  /**
   * The tree of a checkpoint.
   *
   * @param parameters how many a tensor has
   * @param describe what is told about it
   */
  static TensorTree of(
      Checkpoint checkpoint, ToLongFunction<String> parameters, Function<String, String> describe) {
    TensorTree root = new TensorTree();
    for (String name : checkpoint.names()) {
      long size = Tensor.elements(checkpoint.shape(name)) * checkpoint.dtype(name).bytes();
      long count = parameters.applyAsLong(name);
      TensorTree at = root;
      at.count(count, size);
      for (String part : name.split("\\.", DEEPEST)) {
        at = at.children.computeIfAbsent(part, unused -> new TensorTree());
        at.count(count, size);
      }
      at.leaf = describe.apply(name);
    }
    return root;
  }

  private void count(long elements, long size) {
    parameters += elements;
    bytes += size;
  }

  long parameters() {
    return parameters;
  }

  long bytes() {
    return bytes;
  }

  /** Prints the branches. */
  void print(PrintWriter out, String indent) {
    for (Group group : groups()) {
      TensorTree first = group.trees.getFirst();
      String name = Printable.line(group.name());
      // A chain without branches is one line.
      while (first.leaf == null && first.children.size() == 1) {
        Map.Entry<String, TensorTree> only = first.children.entrySet().iterator().next();
        name += "." + Printable.line(only.getKey());
        first = only.getValue();
      }
      long times = group.trees.size();
      if (first.leaf != null) {
        out.println(indent + name + "  " + first.leaf + (times > 1 ? "  × " + times : ""));
      } else {
        out.println(
            indent
                + name
                + "  "
                + millions(times * first.parameters)
                + " in "
                + Sizes.show(times * first.bytes)
                + (times > 1 ? ", " + times + " alike" : ""));
      }
      first.print(out, indent + "  ");
    }
  }

  /** A count of parameters as people say it. */
  static String millions(long count) {
    return count < 1_000_000
        ? String.format(Locale.ROOT, "%,d", count)
        : String.format(Locale.ROOT, "%,.1f M", count / 1e6);
  }

  /** Branches that differ in their number only. */
  private static final class Group {
    private final List<String> names = new ArrayList<>();
    private final List<TensorTree> trees = new ArrayList<>();

    /** One name; the first and the last number of a row; or all numbers, the middle left out. */
    private String name() {
      String first = names.getFirst();
      if (names.size() == 1) {
        return first;
      }
      String last = names.getLast();
      boolean row =
          new BigInteger(last).subtract(new BigInteger(first)).intValue() + 1 == names.size();
      if (row) {
        return first + "–" + last;
      }
      return names.size() <= 3
          ? String.join(", ", names)
          : first + ", " + names.get(1) + ", … " + last;
    }
  }

  private List<Group> groups() {
    Map<String, Group> alike = new LinkedHashMap<>();
    for (Map.Entry<String, TensorTree> e : children.entrySet()) {
      boolean numbered = e.getKey().matches("\\d+");
      String key = numbered ? e.getValue().signature() : e.getKey();
      Group group = alike.computeIfAbsent(key, unused -> new Group());
      group.names.add(e.getKey());
      group.trees.add(e.getValue());
    }
    return List.copyOf(alike.values());
  }

  private String signature() {
    List<String> parts = new ArrayList<>();
    children.forEach((name, child) -> parts.add(name + child.signature()));
    String[] sorted = parts.toArray(String[]::new);
    Arrays.sort(sorted);
    return "(" + leaf + String.join(",", sorted) + ")";
  }
}
