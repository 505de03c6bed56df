package io.minigpt4.config;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * What the {@code config.json} of a model folder says: the sizes of a whole MiniGPT-4.
 *
 * @param name what the model calls itself
 * @param vision the vision transformer
 * @param qformer the Q-Former
 * @param llama the language model
 * @param synthetic how random weights are made, for a model that has no others; null for one whose
 *     weights lie beside its config
 */
public record ModelConfig(
    String name,
    VisionConfig vision,
    QFormerConfig qformer,
    LlamaConfig llama,
    @Nullable Synthetic synthetic) {
  /** The value of {@code format} in such a file. */
  public static final String FORMAT = "minigpt4-engine";

  static final int VERSION = 1;

  /**
   * Random weights that are made when the model is loaded.
   *
   * @param seed the same seed makes the same weights
   * @param dtype F32, F16 or BF16
   */
  public record Synthetic(long seed, DType dtype) {
    private static Synthetic of(ConfigNode node) {
      ConfigNode type = node.get("dtype");
      DType dtype =
          switch (type.asText()) {
            case "f32" -> DType.F32;
            case "f16" -> DType.F16;
            case "bf16" -> DType.BF16;
            default -> throw type.unfit("f32, f16 or bf16");
          };
      return new Synthetic(node.integer("seed", 0, Integer.MAX_VALUE), dtype);
    }
  }

  /** The sizes of a model whose weights lie beside its config. */
  public ModelConfig(String name, VisionConfig vision, QFormerConfig qformer, LlamaConfig llama) {
    this(name, vision, qformer, llama, null);
  }

  /**
   * Reads a file.
   *
   * @throws UserException if it is missing, malformed or of another kind
   */
  public static ModelConfig read(Path file) {
    return read(file, warning -> {});
  }

  /**
   * Reads a file.
   *
   * @param warnings gets a line for each key that is not known
   * @throws UserException if it is missing, malformed or of another kind
   */
  public static ModelConfig read(Path file, Consumer<String> warnings) {
    ConfigNode root = JsonFile.read(file);
    ModelConfig config = of(root);
    root.ignoredKeys().forEach(warnings);
    return config;
  }

  /**
   * Parses the text of such a file.
   *
   * @param where the file's name, for messages
   * @throws UserException if it is malformed or of another kind
   */
  public static ModelConfig parse(String where, String json) {
    return of(JsonFile.parse(where, json));
  }

  /** Whether a file's root says that it is such a file (rather than, say, a LLaMA's). */
  static boolean isModelConfig(ConfigNode root) {
    ConfigNode format = root.find("format");
    return format != null && format.toPlain() instanceof String text && text.equals(FORMAT);
  }

  private static ModelConfig of(ConfigNode root) {
    if (!isModelConfig(root)) {
      throw new UserException(
          root.place()
              + ": not the config.json of a model folder: 'format' is not '"
              + FORMAT
              + "'");
    }
    int version = root.integer("version", 1, Integer.MAX_VALUE);
    if (version > VERSION) {
      throw root.get("version").unfit("at most " + VERSION + ": a newer program wrote this");
    }
    return new ModelConfig(
        root.text("name", "unnamed"),
        VisionConfig.of(root.get("vision")),
        QFormerConfig.of(root.get("qformer")),
        LlamaConfig.of(root.get("llama")),
        root.find("synthetic") == null ? null : Synthetic.of(root.get("synthetic")));
  }

  /** The text of such a file, which {@link #parse} turns back into this. */
  public String toJson() {
    return ModelConfigText.of(this);
  }
}
