package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;

/**
 * What the {@code config.json} of a model folder says: the sizes of a whole MiniGPT-4.
 *
 * @param name what the model calls itself
 * @param vision the vision transformer
 * @param qformer the Q-Former
 * @param llama the language model
 */
public record ModelConfig(
    String name, VisionConfig vision, QFormerConfig qformer, LlamaConfig llama) {
  /** The value of {@code format} in such a file. */
  public static final String FORMAT = "minigpt4-engine";

  private static final int VERSION = 1;

  /**
   * Reads a file.
   *
   * @throws UserException if it is missing, malformed or of another kind
   */
  public static ModelConfig read(Path file) {
    return of(JsonFile.read(file));
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
        LlamaConfig.of(root.get("llama")));
  }
}
