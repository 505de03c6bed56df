package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Map;

/**
 * Finds the files that a MiniGPT-4 configuration names. Those that the Python version downloads by
 * itself are looked for where it keeps them: the folder of {@code MINIGPT4_CACHE} if that is set,
 * else PyTorch's ({@code $TORCH_HOME/hub/checkpoints}, by default {@code
 * ~/.cache/torch/hub/checkpoints}).
 */
public final class PublishedFiles {
  /** The name of the published vision transformer. */
  static final String EVA_CLIP_G = "eva_clip_g";

  private static final String BLIP2 =
      "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/";

  /** Where the published vision transformer is. */
  static final String VIT_ADDRESS = BLIP2 + "eva_vit_g.pth";

  /** Where the published Q-Former is. */
  static final String QFORMER_ADDRESS = BLIP2 + "blip2_pretrained_flant5xxl.pth";

  private static final String MINIGPT4 = "https://github.com/Vision-CAIR/MiniGPT-4";
  private static final String VICUNA = "https://huggingface.co/lmsys/vicuna-13b-delta-v0";

  private final ModelSettings settings;
  private final Path home;
  private final Path cache;

  PublishedFiles(ModelSettings settings, Map<String, String> environment, Path home) {
    this.settings = settings;
    this.home = home;
    String own = environment.getOrDefault("MINIGPT4_CACHE", "");
    if (!own.isEmpty()) {
      this.cache = Path.of(own);
      return;
    }
    String caches = environment.getOrDefault("XDG_CACHE_HOME", "");
    Path torch = (caches.isEmpty() ? home.resolve(".cache") : Path.of(caches)).resolve("torch");
    String torchHome = environment.getOrDefault("TORCH_HOME", "");
    this.cache =
        (torchHome.isEmpty() ? torch : Path.of(torchHome)).resolve("hub").resolve("checkpoints");
  }

  /**
   * The vision transformer's file.
   *
   * @throws UserException if it is not there, with the address where it is published
   */
  public Path vision() {
    String name = settings.vitModel();
    Path file = name.equals(EVA_CLIP_G) ? cache.resolve("eva_vit_g.pth") : path("vit_model", name);
    return existing(file, "vit_model", "download it from " + VIT_ADDRESS);
  }

  /**
   * The Q-Former's file.
   *
   * @throws UserException if it is not there, with the address where it is published
   */
  public Path qformer() {
    String name = settings.qFormerModel();
    boolean address = name.startsWith("http://") || name.startsWith("https://");
    Path file =
        address
            ? cache.resolve(name.substring(name.lastIndexOf('/') + 1))
            : path("q_former_model", name);
    return existing(
        file, "q_former_model", "download it from " + (address ? name : QFORMER_ADDRESS));
  }

  /**
   * The language model's folder.
   *
   * @throws UserException if none is named, or it is not there
   */
  public Path llama() {
    String how = "Vicuna is published as a difference to LLaMA at " + VICUNA;
    if (settings.llamaModel().isEmpty()) {
      throw new UserException(
          "the configuration names no language model (the Python version keeps it in a file of its"
              + " own): add --options model.llama_model=FOLDER; "
              + how);
    }
    return existing(path("llama_model", settings.llamaModel()), "llama_model", how);
  }

  /**
   * The trained projection.
   *
   * @throws UserException if none is named, or it is not there
   */
  public Path projection() {
    String how = "pretrained_minigpt4.pth is published at " + MINIGPT4;
    if (settings.ckpt().isEmpty()) {
      throw new UserException(
          "the configuration names no trained projection: add --options model.ckpt=FILE; " + how);
    }
    return existing(path("ckpt", settings.ckpt()), "ckpt", how);
  }

  private Path path(String key, String name) {
    try {
      return name.startsWith("~/") ? home.resolve(name.substring(2)) : Path.of(name);
    } catch (InvalidPathException e) {
      throw new UserException("'model." + key + "' is not a path: " + name, e);
    }
  }

  private static Path existing(Path file, String key, String how) {
    if (!Files.exists(file)) {
      throw new UserException(
          file
              + " (model."
              + key
              + ") does not exist: "
              + how
              + ", or name your copy with --options model."
              + key
              + "=PATH");
    }
    return file;
  }
}
