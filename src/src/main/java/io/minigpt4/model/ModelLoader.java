package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.checkpoint.QuantisingCheckpoint;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Puts a model together from its files, in whichever layout they are. */
public final class ModelLoader {
  /** Names of the parts in a model folder. */
  static final String VISION_PREFIX = "visual_encoder.";

  static final String LLAMA_PREFIX = "llama_model.";
  private static final long UNTRAINED_SEED = 42;
  private static final String DEMO = "/io/minigpt4/demo/";

  private final List<Ops> devices;
  private final Ops ops;
  private final LoadListener listener;
  private final @Nullable Quantiser quantiser;

  /**
   * @param ops the device to load to
   */
  public ModelLoader(Ops ops, LoadListener listener) {
    this(List.of(ops), listener);
  }

  /**
   * @param devices share the language model's layers; the first one has all the rest
   */
  public ModelLoader(List<Ops> devices, LoadListener listener) {
    this(devices, listener, null);
  }

  /**
   * @param quantiser what the language model's matrices go through as they are loaded; null to take
   *     them as they lie
   */
  public ModelLoader(List<Ops> devices, LoadListener listener, @Nullable Quantiser quantiser) {
    this.devices = List.copyOf(devices);
    this.ops = devices.getFirst();
    this.listener = listener;
    this.quantiser = quantiser;
  }

  /** A checkpoint with a language model whose names begin with {@code prefix}. */
  private Checkpoint language(Checkpoint checkpoint, String prefix) {
    return quantiser == null ? checkpoint : new QuantisingCheckpoint(checkpoint, prefix, quantiser);
  }

  /**
   * Loads a model.
   *
   * @param projection a checkpoint whose {@code llama_proj} takes the place of the model's own;
   *     null to keep that
   * @throws UserException if a file is missing or malformed, or files do not belong together
   */
  public MiniGpt4 load(ModelSource source, @Nullable Path projection) {
    WatchedCheckpoints opened = new WatchedCheckpoints(listener);
    try {
      return switch (source) {
        case ModelSource.BuiltIn unused -> builtIn(projection, opened);
        case ModelSource.Folder in -> folder(in.folder(), projection, opened);
        case ModelSource.Published files -> published(files, projection, opened);
      };
    } catch (RuntimeException | Error e) {
      opened.close();
      throw e;
    }
  }

  private MiniGpt4 folder(Path folder, @Nullable Path projection, WatchedCheckpoints opened) {
    if (!Files.isDirectory(folder)) {
      throw new UserException(
          folder
              + " is not a folder: a model folder holds config.json, tokenizer.model and weights");
    }
    Checkpoints.requireFinished(folder);
    if (!Files.exists(folder.resolve("config.json"))) {
      throw new UserException(
          folder + " has no config.json: a model folder holds that, tokenizer.model and weights");
    }
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"), listener::warns);
    Tokenizer tokenizer = Tokenizer.load(folder.resolve("tokenizer.model"));
    Checkpoint weights =
        config.synthetic() == null ? Checkpoints.open(folder) : new RandomCheckpoint(config);
    Checkpoint model = opened.add(language(weights, LLAMA_PREFIX));
    return whole(config, tokenizer, model, projection, opened);
  }

  private MiniGpt4 builtIn(@Nullable Path projection, WatchedCheckpoints opened) {
    ModelConfig config =
        ModelConfig.parse(
            "the built-in model's config.json",
            new String(resource("config.json"), StandardCharsets.UTF_8));
    Tokenizer tokenizer =
        Tokenizer.parse(resource("tokenizer.model"), "the built-in model's tokenizer.model");
    Checkpoint weights = SafeTensors.ofResource(ModelLoader.class, DEMO + "model.safetensors");
    Checkpoint model = opened.add(language(weights, LLAMA_PREFIX));
    return whole(config, tokenizer, model, projection, opened);
  }

  private static byte[] resource(String name) {
    try (InputStream in = ModelLoader.class.getResourceAsStream(DEMO + name)) {
      if (in == null) {
        throw new UserException(
            "this build carries no demo model; name a model with --model or --cfg-path");
      }
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UserException("the built-in model's " + name + " cannot be read: " + e, e);
    }
  }

  /** A model whose tensors have the names of a model folder. */
  private MiniGpt4 whole(
      ModelConfig config,
      Tokenizer tokenizer,
      Checkpoint model,
      @Nullable Path projection,
      WatchedCheckpoints opened) {
    Checkpoint trained = projection == null ? model : opened.add(Checkpoints.open(projection));
    Parts parts = new Parts(model, VISION_PREFIX, model, trained, model, LLAMA_PREFIX);
    return assemble(config, parts, tokenizer, opened);
  }

  private MiniGpt4 published(
      ModelSource.Published files, @Nullable Path projection, WatchedCheckpoints opened) {
    Checkpoints.requireFinished(files.llama());
    LlamaConfig llama = LlamaConfig.read(files.llama());
    Tokenizer tokenizer = Tokenizer.load(files.llama().resolve("tokenizer.model"));
    Checkpoint vision = opened.add(Checkpoints.open(files.vision()));
    Checkpoint qformer = opened.add(Checkpoints.open(files.qformer()));
    Checkpoint language = opened.add(language(Checkpoints.open(files.llama()), ""));
    Path projector = projection == null ? files.projection() : projection;
    Checkpoint trained = projector == null ? null : opened.add(Checkpoints.open(projector));
    String name = "MiniGPT-4 with " + files.llama().getFileName();
    return assemble(
        sizes(name, vision, qformer, llama, files.imageSize(), files.queryTokens()),
        new Parts(vision, "", qformer, trained, language, ""),
        tokenizer,
        opened);
  }

  /**
   * The sizes of a model in published files, which state those of the language model only.
   *
   * @param name what the model is to call itself
   * @param vision a file like {@code eva_vit_g.pth}
   * @param qformer a file like BLIP-2's
   * @param llama the language model's
   * @param imageSize side of the images in pixels; null for what the vision transformer learned
   * @param queryTokens how many queries the Q-Former must have; null for any number
   * @throws UserException if tensors are missing or sizes do not fit each other
   */
  public static ModelConfig sizes(
      String name,
      Checkpoint vision,
      Checkpoint qformer,
      LlamaConfig llama,
      @Nullable Integer imageSize,
      @Nullable Integer queryTokens) {
    VisionConfig visionConfig = VisionTransformer.sizes(vision, "", imageSize);
    QFormerConfig qformerConfig = QFormer.sizes(qformer);
    if (queryTokens != null && queryTokens != qformerConfig.numQueryTokens()) {
      throw new UserException(
          "num_query_token is "
              + queryTokens
              + ", but "
              + qformer.source("query_tokens")
              + " has "
              + qformerConfig.numQueryTokens()
              + " queries; leave the setting out or name another file");
    }
    return new ModelConfig(name, visionConfig, qformerConfig, llama);
  }

  /**
   * Which checkpoints hold the parts, and what their names there begin with.
   *
   * @param projection null for one that knows nothing yet
   */
  private record Parts(
      Checkpoint vision,
      String visionPrefix,
      Checkpoint qformer,
      @Nullable Checkpoint projection,
      Checkpoint llama,
      String llamaPrefix) {}

  /** Bytes on a device that fewer bits a weight of the language model would save. */
  private long savedBy(int bits, Parts parts) {
    if (quantiser != null) {
      return 0;
    }
    Quantiser fewer = new Quantiser(bits == 8 ? DType.Q8 : DType.Q4, Quantiser.DEFAULT_GROUP);
    Checkpoint quantised = new QuantisingCheckpoint(parts.llama, parts.llamaPrefix, fewer);
    return WatchedCheckpoints.bytesOnDevice(parts.llama)
        - WatchedCheckpoints.bytesOnDevice(quantised);
  }

  /** Reads the small parts first, so that one that does not fit is found out soon. */
  private MiniGpt4 assemble(
      ModelConfig config, Parts parts, Tokenizer tokenizer, WatchedCheckpoints opened) {
    int width = config.vision().hiddenSize();
    int queryWidth = config.qformer().hiddenSize();
    if (tokenizer.size() > config.llama().vocabSize()) {
      throw new UserException(
          "the tokenizer has "
              + tokenizer.size()
              + " pieces, the language model only "
              + config.llama().vocabSize()
              + "; do they belong together?");
    }
    opened.announce(devices, bits -> savedBy(bits, parts));
    int hidden = config.llama().hiddenSize();
    Projection projection =
        parts.projection == null
            ? Projection.untrained(queryWidth, hidden, UNTRAINED_SEED, ops)
            : Projection.read(parts.projection, queryWidth, hidden, ops);
    Norm visionNorm = Norm.read(new WeightReader(parts.qformer, "", ops), "ln_vision", width);
    QFormer qformer = QFormer.read(parts.qformer, config.qformer(), width, ops);
    VisionTransformer vision =
        VisionTransformer.read(parts.vision, parts.visionPrefix, config.vision(), ops);
    Llama llama = Llama.read(parts.llama, parts.llamaPrefix, config.llama(), devices);
    return new MiniGpt4(
        config.name(), opened.opened(), vision, visionNorm, qformer, projection, llama, tokenizer);
  }
}
