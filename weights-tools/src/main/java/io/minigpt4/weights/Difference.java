package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.cli.Printable;
import io.minigpt4.tensor.Tensor;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;

/** How two checkpoints differ: tensors that only one has, types, shapes, values. */
final class Difference {
  private final Map<String, String> found = new LinkedHashMap<>();
  private int same;

  /** Compares all tensors. */
  Difference(Checkpoint a, Checkpoint b) {
    TreeSet<String> names = new TreeSet<>(a.names());
    names.addAll(b.names());
    for (String name : names) {
      String what = compare(name, a, b);
      if (what.isEmpty()) {
        same++;
      } else {
        found.put(name, what);
      }
    }
  }

  boolean isNone() {
    return found.isEmpty();
  }

  /** What differs and how, by name; and how many tensors are the same. */
  Map<String, Object> asMap() {
    Map<String, Object> map = new LinkedHashMap<>();
    map.put("same", same);
    map.put("different", found);
    return map;
  }

  void print(PrintWriter out) {
    found.forEach((name, what) -> out.println(Printable.line(name) + ": " + what));
    out.println(same + (same == 1 ? " tensor is" : " tensors are") + " the same");
  }

  private static String compare(String name, Checkpoint a, Checkpoint b) {
    if (!b.contains(name)) {
      return "only in the first";
    }
    if (!a.contains(name)) {
      return "only in the second";
    }
    String left = a.dtype(name) + Arrays.toString(a.shape(name));
    String right = b.dtype(name) + Arrays.toString(b.shape(name));
    if (!Arrays.equals(a.shape(name), b.shape(name))) {
      return left + " and " + right;
    }
    String types = a.dtype(name) == b.dtype(name) ? "" : left + " and " + right;
    Tensor x = a.tensor(name);
    Tensor y = b.tensor(name);
    if (types.isEmpty() && x.segment().mismatch(y.segment()) < 0) {
      return "";
    }
    if (!x.dtype().isFloating() || !y.dtype().isFloating()) {
      return types.isEmpty() ? "other values" : types;
    }
    return types + (types.isEmpty() ? "" : ", ") + values(x, y);
  }

  private static String values(Tensor x, Tensor y) {
    Elements elements = new Elements();
    float[] left = new float[Elements.BLOCK];
    float[] right = new float[Elements.BLOCK];
    double largest = 0;
    long different = 0;
    long count = x.elements();
    for (long at = 0; at < count; at += Elements.BLOCK) {
      int n = (int) Math.min(Elements.BLOCK, count - at);
      elements.read(x.dtype(), x.segment(), at, n, left);
      elements.read(y.dtype(), y.segment(), at, n, right);
      for (int i = 0; i < n; i++) {
        if (Float.compare(left[i], right[i]) != 0) {
          different++;
          largest = Math.max(largest, Math.abs((double) left[i] - right[i]));
        }
      }
    }
    return different == 0
        ? "equal values"
        : different + " of " + count + " values differ, by " + (float) largest + " at most";
  }
}
