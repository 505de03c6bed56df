package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.math.BigInteger;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a pickled object holds, flattened: tensors by name, and scalars as text.
 *
 * @param tensors by name, in the file's order
 * @param scalars numbers, truth values and strings by path
 */
record TorchTree(Map<String, TorchTensor> tensors, Map<String, String> scalars) {
  /** Keys under which programs keep a model's tensors. */
  private static final List<String> MODEL_KEYS =
      List.of("model", "state_dict", "model_state_dict", "module");

  /** What PyTorch's DistributedDataParallel puts before every name. */
  private static final String WRAPPER = "module.";

  private static final int MAX_DEPTH = 32;
  private static final int MAX_VALUES = 500_000;

  /** Characters of all paths together; a model of a thousand layers has some million. */
  private static final long MAX_NAMES = 64 << 20;

  /**
   * Flattens an object. The model's dictionary comes first and without a prefix, also without the
   * {@code module.} that a model trained in parallel has before all its names.
   *
   * @throws UserException if there is no tensor in it
   */
  static TorchTree of(String where, Object root) {
    TorchTree tree = new TorchTree(new LinkedHashMap<>(), new LinkedHashMap<>());
    Flattener flattener = new Flattener(where, tree);
    if (root instanceof Map<?, ?> outer) {
      for (String key : MODEL_KEYS) {
        if (outer.get(key) instanceof Map<?, ?> model && holdsTensors(model)) {
          flattener.flatten("", unwrapped(model), 0);
          outer.remove(key);
          break;
        }
      }
      flattener.flatten("", unwrapped(outer), 0);
    }
    if (tree.tensors.isEmpty()) {
      throw new UserException(where + " holds no tensors with names: is it a checkpoint?");
    }
    return tree;
  }

  private static boolean holdsTensors(Map<?, ?> map) {
    return map.values().stream().anyMatch(TorchTensor.class::isInstance);
  }

  private static Map<?, ?> unwrapped(Map<?, ?> model) {
    boolean wrapped =
        !model.isEmpty()
            && model.keySet().stream()
                .allMatch(key -> key instanceof String name && name.startsWith(WRAPPER));
    if (!wrapped) {
      return model;
    }
    Map<String, Object> names = new LinkedHashMap<>();
    model.forEach((key, value) -> names.put(key.toString().substring(WRAPPER.length()), value));
    return names;
  }

  /** Walks an object that may hold itself, or share parts in endless ways. */
  private static final class Flattener {
    private final String where;
    private final TorchTree tree;
    private int values;
    private long names;

    Flattener(String where, TorchTree tree) {
      this.where = where;
      this.tree = tree;
    }

    void flatten(String path, Object value, int depth) {
      if (++values > MAX_VALUES || depth > MAX_DEPTH) {
        throw new UserException(
            where + " is not a valid PyTorch file: its object is nested too deep or too large");
      }
      names += path.length();
      if (names > MAX_NAMES) {
        throw new UserException(
            where
                + " is not a valid PyTorch file: its values' names take more than "
                + MAX_NAMES
                + " characters");
      }
      String prefix = path.isEmpty() ? "" : path + ".";
      if (value instanceof TorchTensor tensor) {
        tree.tensors.putIfAbsent(path, tensor);
      } else if (value instanceof Map<?, ?> map) {
        map.forEach((key, v) -> flatten(prefix + key, v, depth + 1));
      } else if (value instanceof List<?> list) {
        for (int i = 0; i < list.size(); i++) {
          flatten(prefix + i, list.get(i), depth + 1);
        }
      } else if (value instanceof Unpickler.Tuple tuple) {
        flatten(path, tuple.items, depth + 1);
      } else if (isScalar(value)) {
        tree.scalars.putIfAbsent(path, value.toString());
      }
    }

    private static boolean isScalar(Object value) {
      return value instanceof String
          || value instanceof Long
          || value instanceof Double
          || value instanceof Boolean
          || value instanceof BigInteger;
    }
  }
}
