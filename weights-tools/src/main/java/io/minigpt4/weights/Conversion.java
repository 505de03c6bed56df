package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.model.ModelLayout;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The published files of a model, checked against what the model reads: every tensor is there and
 * has the shape that it must have.
 */
final class Conversion implements AutoCloseable {
  private final ModelSource.Published files;
  private final Map<ModelLayout.Part, Checkpoint> parts = new EnumMap<>(ModelLayout.Part.class);
  private final Map<ModelLayout.Part, Set<String>> used = new EnumMap<>(ModelLayout.Part.class);
  private final List<CopiedTensor> tensors = new ArrayList<>();
  private final ModelConfig config;

  /**
   * Opens and checks the files.
   *
   * @param name what the model is to call itself; null for the name of the LLaMA folder
   * @throws UserException if one is missing or malformed, or they do not belong together
   */
  Conversion(ModelSource.Published files, @Nullable String name, WeightType type) {
    this.files = files;
    Path llama = files.llama();
    Checkpoints.requireFinished(llama);
    LlamaConfig llamaConfig = LlamaConfig.read(llama);
    checkTokenizer(llamaConfig);
    try {
      Checkpoint vision = open(ModelLayout.Part.VISION, files.vision());
      Checkpoint qformer = open(ModelLayout.Part.QFORMER, files.qformer());
      open(ModelLayout.Part.PROJECTION, Objects.requireNonNull(files.projection()));
      open(ModelLayout.Part.LLAMA, llama);
      String called = name == null ? "MiniGPT-4 with " + llama.getFileName() : name;
      config =
          ModelLoader.sizes(
              called, vision, qformer, llamaConfig, files.imageSize(), files.queryTokens());
      for (ModelLayout.Entry entry : ModelLayout.of(config, i -> looksAtImage(qformer, i))) {
        plan(entry, type);
      }
      refuseMoreLayers(llamaConfig);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private Checkpoint open(ModelLayout.Part part, Path path) {
    Checkpoint checkpoint = Checkpoints.open(path);
    parts.put(part, checkpoint);
    used.put(part, new HashSet<>());
    return checkpoint;
  }

  private void checkTokenizer(LlamaConfig llama) {
    Tokenizer tokenizer = Tokenizer.load(tokenizer());
    if (tokenizer.size() > llama.vocabSize()) {
      throw new UserException(
          tokenizer()
              + " has "
              + tokenizer.size()
              + " pieces, the language model only "
              + llama.vocabSize()
              + "; do they belong together?");
    }
  }

  private static boolean looksAtImage(Checkpoint qformer, int layer) {
    return qformer.contains(
        "Qformer.bert.encoder.layer." + layer + ".crossattention.self.query.weight");
  }

  private void plan(ModelLayout.Entry entry, WeightType type) {
    Checkpoint checkpoint = Objects.requireNonNull(parts.get(entry.part()));
    long[] shape = entry.dims();
    if (entry.name().equals("pos_embed")) {
      shape[1] = -1; // learned for another grid: the model resizes it when it is loaded
    }
    checkpoint.requireShape(entry.name(), shape);
    if (!checkpoint.dtype(entry.name()).isFloating()) {
      throw new UserException(
          "tensor '"
              + entry.name()
              + "' in "
              + checkpoint.source(entry.name())
              + " is of type "
              + checkpoint.dtype(entry.name())
              + " where a floating-point type is expected");
    }
    Objects.requireNonNull(used.get(entry.part())).add(entry.name());
    tensors.add(new CopiedTensor(entry.nameInFolder(), checkpoint, entry.name(), type.dtype()));
  }

  private void refuseMoreLayers(LlamaConfig llama) {
    Checkpoint language = Objects.requireNonNull(parts.get(ModelLayout.Part.LLAMA));
    String next = "model.layers." + llama.numHiddenLayers() + ".mlp.up_proj.weight";
    if (language.contains(next)) {
      throw new UserException(
          "tensor '"
              + next
              + "' in "
              + language.source(next)
              + " is one layer more than the "
              + llama.numHiddenLayers()
              + " that config.json names (num_hidden_layers); do they belong together?");
    }
  }

  /** The tensors to write, each under its name in a model folder. */
  List<CopiedTensor> tensors() {
    return tensors;
  }

  /** The sizes of the whole. */
  ModelConfig config() {
    return config;
  }

  /** The tokenizer's file. */
  Path tokenizer() {
    return files.llama().resolve("tokenizer.model");
  }

  /** What is read, to notice when it changes. */
  String describe() {
    return Sources.describe(
        List.of(
            files.vision(),
            files.qformer(),
            files.llama(),
            Objects.requireNonNull(files.projection())));
  }

  /** Says which tensors are left out. */
  void reportIgnored(PrintWriter out) {
    parts.forEach(
        (part, checkpoint) ->
            Ignored.report(
                out,
                String.valueOf(path(part).getFileName()),
                checkpoint,
                Objects.requireNonNull(used.get(part))));
  }

  private Path path(ModelLayout.Part part) {
    return switch (part) {
      case VISION -> files.vision();
      case QFORMER -> files.qformer();
      case PROJECTION -> Objects.requireNonNull(files.projection());
      case LLAMA -> files.llama();
    };
  }

  @Override
  public void close() {
    parts.values().forEach(Checkpoint::close);
  }
}
