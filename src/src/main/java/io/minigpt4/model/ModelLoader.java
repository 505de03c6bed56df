package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Puts a model together from its files, in whichever layout they are. */
public final class ModelLoader {
  /** Names of the parts in a model folder. */
  private static final String VISION_PREFIX = "visual_encoder.";

  private static final String LLAMA_PREFIX = "llama_model.";
  private static final String DEMO = "/io/minigpt4/demo/";
  private static final long STRETCH = 32L << 20;

  private final Ops ops;
  private final LoadListener listener;

  /**
   * @param ops the device to load to
   */
  public ModelLoader(Ops ops, LoadListener listener) {
    this.ops = ops;
    this.listener = listener;
  }

  /**
   * Loads a model.
   *
   * @param projection a checkpoint whose {@code llama_proj} takes the place of the model's own;
   *     null to keep that
   * @throws UserException if a file is missing or malformed, or files do not belong together
   */
  public MiniGpt4 load(ModelSource source, @Nullable Path projection) {
    List<Checkpoint> opened = new ArrayList<>();
    try {
      return switch (source) {
        case ModelSource.BuiltIn unused -> builtIn(projection, opened);
        case ModelSource.Folder in -> folder(in.folder(), projection, opened);
        case ModelSource.Published files -> published(files, projection, opened);
      };
    } catch (RuntimeException | Error e) {
      opened.forEach(Checkpoint::close);
      throw e;
    }
  }

  private MiniGpt4 folder(Path folder, @Nullable Path projection, List<Checkpoint> opened) {
    if (!Files.isDirectory(folder)) {
      throw new UserException(
          folder
              + " is not a folder: a model folder holds config.json, tokenizer.model and weights");
    }
    ModelConfig config = ModelConfig.read(folder.resolve("config.json"));
    Tokenizer tokenizer = Tokenizer.load(folder.resolve("tokenizer.model"));
    opened.add(Checkpoints.open(folder));
    return whole(config, tokenizer, projection, opened);
  }

  private MiniGpt4 builtIn(@Nullable Path projection, List<Checkpoint> opened) {
    ModelConfig config =
        ModelConfig.parse(
            "the built-in model's config.json",
            new String(resource("config.json"), StandardCharsets.UTF_8));
    Tokenizer tokenizer =
        Tokenizer.parse(resource("tokenizer.model"), "the built-in model's tokenizer.model");
    opened.add(SafeTensors.ofResource(ModelLoader.class, DEMO + "model.safetensors"));
    return whole(config, tokenizer, projection, opened);
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
      ModelConfig config, Tokenizer tokenizer, @Nullable Path projection, List<Checkpoint> opened) {
    if (projection != null) {
      opened.add(Checkpoints.open(projection));
    }
    Checkpoint model = opened.getFirst();
    touch(opened);
    return assemble(
        config,
        VisionTransformer.read(model, VISION_PREFIX, config.vision(), ops),
        model,
        opened.getLast(),
        Llama.read(model, LLAMA_PREFIX, config.llama(), ops),
        tokenizer,
        opened);
  }

  private MiniGpt4 published(
      ModelSource.Published files, @Nullable Path projection, List<Checkpoint> opened) {
    LlamaConfig llama = LlamaConfig.read(files.llama());
    Tokenizer tokenizer = Tokenizer.load(files.llama().resolve("tokenizer.model"));
    Checkpoint vision = open(files.vision(), opened);
    Checkpoint qformer = open(files.qformer(), opened);
    Checkpoint language = open(files.llama(), opened);
    Checkpoint trained = open(projection == null ? files.projection() : projection, opened);
    VisionConfig visionConfig = VisionTransformer.sizes(vision, "", files.imageSize(), ops);
    QFormerConfig qformerConfig = QFormer.sizes(qformer, ops);
    Integer queries = files.queryTokens();
    if (queries != null && queries != qformerConfig.numQueryTokens()) {
      throw new UserException(
          "num_query_token is "
              + queries
              + ", but "
              + files.qformer()
              + " has "
              + qformerConfig.numQueryTokens()
              + " queries; leave the setting out or name another file");
    }
    String name = String.valueOf(files.llama().getFileName());
    touch(opened);
    return assemble(
        new ModelConfig("MiniGPT-4 with " + name, visionConfig, qformerConfig, llama),
        VisionTransformer.read(vision, "", visionConfig, ops),
        qformer,
        trained,
        Llama.read(language, "", llama, ops),
        tokenizer,
        opened);
  }

  private static Checkpoint open(Path file, List<Checkpoint> opened) {
    Checkpoint checkpoint = Checkpoints.open(file);
    opened.add(checkpoint);
    return checkpoint;
  }

  private MiniGpt4 assemble(
      ModelConfig config,
      VisionTransformer vision,
      Checkpoint qformer,
      Checkpoint projection,
      Llama llama,
      Tokenizer tokenizer,
      List<Checkpoint> opened) {
    int width = config.vision().hiddenSize();
    if (tokenizer.size() > config.llama().vocabSize()) {
      throw new UserException(
          "the tokenizer has "
              + tokenizer.size()
              + " pieces, the language model only "
              + config.llama().vocabSize()
              + "; do they belong together?");
    }
    return new MiniGpt4(
        config.name(),
        List.copyOf(opened),
        vision,
        Norm.read(new WeightReader(qformer, "", ops), "ln_vision", width),
        QFormer.read(qformer, config.qformer(), width, ops),
        Projection.read(
            projection, config.qformer().hiddenSize(), config.llama().hiddenSize(), ops),
        llama,
        tokenizer);
  }

  /**
   * Brings mapped weights into memory, so that the first answer does not wait for the disk in
   * silence.
   */
  private void touch(List<Checkpoint> checkpoints) {
    List<MemorySegment> mapped = new ArrayList<>();
    long total = 0;
    for (Checkpoint checkpoint : checkpoints) {
      for (String name : checkpoint.names()) {
        MemorySegment segment = checkpoint.tensor(name).segment();
        if (segment.isMapped()) {
          mapped.add(segment);
          total += segment.byteSize();
        }
      }
    }
    long done = 0;
    for (MemorySegment segment : mapped) {
      for (long from = 0; from < segment.byteSize(); from += STRETCH) {
        long length = Math.min(STRETCH, segment.byteSize() - from);
        segment.asSlice(from, length).load();
        done += length;
        listener.loaded(done, total);
      }
    }
  }
}
