package io.minigpt4.model;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Where a model's files are. */
public sealed interface ModelSource {
  /** The trained demo model that the jar carries. */
  record BuiltIn() implements ModelSource {}

  /**
   * A model folder: {@code config.json}, {@code tokenizer.model} and {@code model.safetensors},
   * sharded or not.
   */
  record Folder(Path folder) implements ModelSource {}

  /**
   * The set of files that MiniGPT-4 and the models that it is made of were published as.
   *
   * @param vision the vision transformer, {@code eva_vit_g.pth}
   * @param qformer BLIP-2's file with the Q-Former, {@code ln_vision} and the query tokens
   * @param llama folder of the language model in Hugging Face's layout, with its tokenizer
   * @param projection MiniGPT-4's own checkpoint; null for a projection that knows nothing yet, as
   *     the first stage of training starts with
   * @param imageSize side of the images in pixels; null for what the vision transformer learned
   * @param queryTokens how many queries the Q-Former must have; null for any number
   */
  record Published(
      Path vision,
      Path qformer,
      Path llama,
      @Nullable Path projection,
      @Nullable Integer imageSize,
      @Nullable Integer queryTokens)
      implements ModelSource {}
}
