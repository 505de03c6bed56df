package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** A language model in Hugging Face's layout. */
final class LlamaFolder implements AutoCloseable {
  /** Files beside the weights and the config, as far as they are there. */
  static final List<String> SMALL_FILES =
      List.of(
          "tokenizer.model",
          "tokenizer_config.json",
          "special_tokens_map.json",
          "added_tokens.json",
          "generation_config.json");

  private final Path folder;
  private final LlamaConfig config;
  private final Checkpoint weights;

  /**
   * Opens one.
   *
   * @throws UserException if it is missing, half written or malformed
   */
  LlamaFolder(Path folder) {
    this.folder = folder;
    if (!Files.isDirectory(folder)) {
      throw new UserException(
          folder + " is not a folder: a language model in Hugging Face's layout is expected");
    }
    Checkpoints.requireFinished(folder);
    this.config = LlamaConfig.read(folder);
    this.weights = Checkpoints.open(folder);
  }

  Path folder() {
    return folder;
  }

  LlamaConfig config() {
    return config;
  }

  Checkpoint weights() {
    return weights;
  }

  /** The tensors that count: the frequencies of RoPE, which old files hold, follow from config. */
  Set<String> names() {
    return weights.names().stream()
        .filter(name -> !name.endsWith("rotary_emb.inv_freq"))
        .collect(Collectors.toSet());
  }

  @Override
  public void close() {
    weights.close();
  }
}
