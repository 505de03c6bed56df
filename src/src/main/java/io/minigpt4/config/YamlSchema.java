package io.minigpt4.config;

import io.minigpt4.tensor.Suggestions;
import io.minigpt4.tensor.UserException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The keys of MiniGPT-4's configuration files and what they hold. Keys beyond these are not errors,
 * since such files carry keys for other programs, but each is worth a warning.
 */
final class YamlSchema {
  /** What a key holds. */
  private enum Kind {
    TEXT {
      @Override
      void check(ConfigNode node) {
        node.asText();
      }
    },
    INTEGER {
      @Override
      void check(ConfigNode node) {
        node.asInteger(Integer.MIN_VALUE, Integer.MAX_VALUE);
      }
    },
    NUMBER {
      @Override
      void check(ConfigNode node) {
        node.asNumber(-Double.MAX_VALUE, Double.MAX_VALUE);
      }
    },
    FLAG {
      @Override
      void check(ConfigNode node) {
        node.asFlag();
      }
    },
    TEXTS {
      @Override
      void check(ConfigNode node) {
        node.asTexts();
      }
    },
    /** Not looked into. */
    ANYTHING {
      @Override
      void check(ConfigNode node) {}
    };

    abstract void check(ConfigNode node);
  }

  /** Stands for any name in a path. */
  private static final String ANY = "*";

  private static final Map<String, Kind> KEYS = new LinkedHashMap<>();

  static {
    add("model.", Kind.TEXT, "arch", "model_type", "llama_model", "q_former_model", "vit_model");
    add("model.", Kind.TEXT, "ckpt", "prompt_path", "prompt_template", "prompt", "end_sym");
    add("model.", Kind.TEXT, "vit_precision");
    add("model.", Kind.INTEGER, "image_size", "num_query_token", "max_txt_len", "device_8bit");
    add("model.", Kind.FLAG, "freeze_vit", "freeze_qformer", "low_resource");
    add("model.", Kind.FLAG, "use_grad_checkpoint");
    add("model.", Kind.NUMBER, "drop_path_rate");

    for (String split : List.of("train", "eval")) {
      add("datasets.*.vis_processor." + split + ".", Kind.TEXT, "name");
      add("datasets.*.vis_processor." + split + ".", Kind.INTEGER, "image_size");
      add("datasets.*.text_processor." + split + ".", Kind.TEXT, "name", "prompt");
      add("datasets.*.text_processor." + split + ".", Kind.INTEGER, "max_words");
    }
    add("datasets.*.", Kind.NUMBER, "sample_ratio");
    add("datasets.*.", Kind.TEXT, "data_type");
    add("datasets.*.build_info.", Kind.TEXTS, "storage");

    add("run.", Kind.TEXT, "task", "lr_sched", "output_dir", "resume_ckpt_path", "device");
    add("run.", Kind.TEXT, "dist_url", "dist_backend");
    add("run.", Kind.NUMBER, "init_lr", "min_lr", "warmup_lr", "weight_decay", "beta2");
    add("run.", Kind.INTEGER, "max_epoch", "batch_size_train", "batch_size_eval", "num_workers");
    add("run.", Kind.INTEGER, "warmup_steps", "iters_per_epoch", "seed", "world_size");
    add("run.", Kind.INTEGER, "accum_grad_iters", "log_freq");
    add("run.", Kind.FLAG, "amp", "evaluate", "distributed", "use_dist_eval_sampler");
    add("run.", Kind.TEXTS, "train_splits", "valid_splits", "test_splits");

    add("", Kind.ANYTHING, "preprocess");
  }

  private YamlSchema() {}

  private static void add(String prefix, Kind kind, String... names) {
    for (String name : names) {
      KEYS.put(prefix + name, kind);
    }
  }

  /** Whether a path holds text, so that whatever is written there is text. */
  static boolean isText(String path) {
    return kind(path) == Kind.TEXT || kind(path) == Kind.TEXTS;
  }

  /**
   * Checks a file.
   *
   * @return a warning for each unknown key, naming the nearest known one
   * @throws UserException if a known key holds something of the wrong type
   */
  static List<String> check(ConfigNode root) {
    List<String> warnings = new ArrayList<>();
    check(root, warnings);
    return warnings;
  }

  private static void check(ConfigNode node, List<String> warnings) {
    for (ConfigNode child : node.entries().values()) {
      Kind kind = kind(child.path());
      if (kind != null) {
        if (!child.isNull()) {
          kind.check(child);
        }
      } else if (!isSection(child.path())) {
        warnings.add(unknown(node, child));
      } else if (!child.isNull()) {
        check(child, warnings);
      }
    }
  }

  private static String unknown(ConfigNode parent, ConfigNode node) {
    return node.place()
        + ": unknown key '"
        + node.path()
        + "' is ignored; the nearest known one is '"
        + nearest(parent.path(), node.path())
        + "'";
  }

  /** The known path whose last word is nearest; among equals, one beside the unknown key. */
  private static String nearest(String parent, String path) {
    String word = lastWord(path);
    Map<String, String> pathOfWord = new LinkedHashMap<>();
    List<String> known = new ArrayList<>();
    for (String key : KEYS.keySet()) {
      for (int dot = key.indexOf('.'); dot >= 0; dot = key.indexOf('.', dot + 1)) {
        known.add(key.substring(0, dot)); // a section
      }
      known.add(key);
    }
    known.removeIf(k -> lastWord(k).equals(ANY));
    known.sort((a, b) -> Boolean.compare(!isBeside(parent, a), !isBeside(parent, b)));
    known.forEach(k -> pathOfWord.putIfAbsent(lastWord(k), k));
    String best = Suggestions.nearest(word, pathOfWord.keySet(), 1).getFirst();
    String found = Optional.ofNullable(pathOfWord.get(best)).orElse(best);
    return isBeside(parent, found) ? (parent.isEmpty() ? best : parent + "." + best) : found;
  }

  private static boolean isBeside(String parent, String pattern) {
    int dot = pattern.lastIndexOf('.');
    return matches(dot < 0 ? "" : pattern.substring(0, dot), parent);
  }

  private static String lastWord(String path) {
    return path.substring(path.lastIndexOf('.') + 1);
  }

  private static @Nullable Kind kind(String path) {
    for (Map.Entry<String, Kind> e : KEYS.entrySet()) {
      if (matches(e.getKey(), path)) {
        return e.getValue();
      }
    }
    return null;
  }

  private static boolean isSection(String path) {
    int depth = path.split("\\.", -1).length;
    for (String key : KEYS.keySet()) {
      String[] words = key.split("\\.", -1);
      if (words.length > depth
          && matches(String.join(".", List.of(words).subList(0, depth)), path)) {
        return true;
      }
    }
    return false;
  }

  private static boolean matches(String pattern, String path) {
    String[] p = pattern.split("\\.", -1);
    String[] words = path.split("\\.", -1);
    if (p.length != words.length) {
      return false;
    }
    for (int i = 0; i < p.length; i++) {
      if (!p[i].equals(ANY) && !p[i].equals(words[i])) {
        return false;
      }
    }
    return true;
  }
}
