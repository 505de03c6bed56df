package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.model.RandomCheckpoint;
import io.minigpt4.tensor.UserException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Opens what holds weights, whatever it is. */
final class Weights {
  private static final String CONFIG = "config.json";

  private Weights() {}

  /**
   * Opens a file, an index of shards, a folder, or a folder whose weights are made at load.
   *
   * @throws UserException if it is missing, half written or malformed
   */
  static Checkpoint open(Path path) {
    if (isModelFolder(path)) {
      Checkpoints.requireFinished(path);
      ModelConfig config = ModelConfig.read(path.resolve(CONFIG));
      if (config.synthetic() != null) {
        return new RandomCheckpoint(config);
      }
    }
    return Checkpoints.open(path);
  }

  /** Whether it is a folder of the engine's own form, by its config.json. */
  static boolean isModelFolder(Path path) {
    Path file = path.resolve(CONFIG);
    if (!Files.isDirectory(path) || !Files.exists(file)) {
      return false;
    }
    ConfigNode format = JsonFile.read(file).find("format");
    return format != null && ModelConfig.FORMAT.equals(format.toPlain());
  }

  /** Whether it is a folder with the config.json of a language model alone. */
  static boolean isLlamaFolder(Path path) {
    return Files.isDirectory(path) && Files.exists(path.resolve(CONFIG)) && !isModelFolder(path);
  }

  /**
   * A small file of a folder for the folder that its tensors are written to. The same bytes; but
   * where weights were made at load, the config says no more that they are.
   *
   * @throws UserException if it cannot be read
   */
  static byte[] smallFile(Path file) {
    if (file.endsWith(CONFIG) && isModelFolder(file.resolveSibling(""))) {
      ModelConfig config = ModelConfig.read(file);
      if (config.synthetic() != null) {
        ModelConfig written =
            new ModelConfig(config.name(), config.vision(), config.qformer(), config.llama());
        return written.toJson().getBytes(StandardCharsets.UTF_8);
      }
    }
    return Sources.bytes(file);
  }
}
