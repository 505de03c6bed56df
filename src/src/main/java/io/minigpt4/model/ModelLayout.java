package io.minigpt4.model;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntPredicate;

/**
 * The tensors that a model is made of, by name and shape: what its parts read. The one list serves
 * those who write models.
 */
public final class ModelLayout {
  /**
   * Which of the published files holds a tensor, and what its name in a model folder begins with.
   */
  public enum Part {
    /** EVA's vision transformer. */
    VISION(ModelLoader.VISION_PREFIX),
    /** BLIP-2's Q-Former, its queries, and the norm of the image features. */
    QFORMER(""),
    /** MiniGPT-4's own linear layer. */
    PROJECTION(""),
    /** The language model. */
    LLAMA(ModelLoader.LLAMA_PREFIX);

    private final String prefix;

    Part(String prefix) {
      this.prefix = prefix;
    }

    /** What stands before the published name in a model folder. */
    public String prefix() {
      return prefix;
    }
  }

  /**
   * A tensor.
   *
   * @param name in the published file
   * @param shape outermost dimension first
   */
  public record Entry(Part part, String name, List<Long> shape) {
    /** The name in a model folder. */
    public String nameInFolder() {
      return part.prefix() + name;
    }

    /** The dimensions, in a new array. */
    public long[] dims() {
      return shape.stream().mapToLong(Long::longValue).toArray();
    }
  }

  private final List<Entry> entries = new ArrayList<>();
  private final Part part;

  private ModelLayout(Part part) {
    this.part = part;
  }

  /**
   * All tensors of a model.
   *
   * @param crossAttention whether a layer of the Q-Former looks at the image
   */
  public static List<Entry> of(ModelConfig config, IntPredicate crossAttention) {
    int width = config.vision().hiddenSize();
    int queryWidth = config.qformer().hiddenSize();
    List<Entry> all = new ArrayList<>();
    all.addAll(vision(config.vision()));
    all.addAll(qformer(config.qformer(), width, crossAttention));
    ModelLayout projection = new ModelLayout(Part.PROJECTION);
    projection.linear("llama_proj", config.llama().hiddenSize(), queryWidth);
    all.addAll(projection.entries);
    all.addAll(llama(config.llama()));
    return all;
  }

  private static List<Entry> vision(VisionConfig config) {
    ModelLayout at = new ModelLayout(Part.VISION);
    long width = config.hiddenSize();
    long inner = config.intermediateSize();
    at.add("cls_token", 1, 1, width);
    at.add("pos_embed", 1, config.numTokens(), width);
    at.add("patch_embed.proj.weight", width, 3, config.patchSize(), config.patchSize());
    at.add("patch_embed.proj.bias", width);
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      String block = "blocks." + i + ".";
      at.norm(block + "norm1", width);
      at.add(block + "attn.q_bias", width);
      at.add(block + "attn.v_bias", width);
      at.add(block + "attn.qkv.weight", 3 * width, width);
      at.linear(block + "attn.proj", width, width);
      at.norm(block + "norm2", width);
      at.linear(block + "mlp.fc1", inner, width);
      at.linear(block + "mlp.fc2", width, inner);
    }
    return at.entries;
  }

  private static List<Entry> qformer(
      QFormerConfig config, long imageWidth, IntPredicate crossAttention) {
    ModelLayout at = new ModelLayout(Part.QFORMER);
    long width = config.hiddenSize();
    at.norm("ln_vision", imageWidth);
    at.add("query_tokens", 1, config.numQueryTokens(), width);
    at.norm("Qformer.bert.embeddings.LayerNorm", width);
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      String layer = "Qformer.bert.encoder.layer." + i + ".";
      at.attention(layer + "attention.", width, width);
      if (crossAttention.test(i)) {
        at.attention(layer + "crossattention.", width, imageWidth);
      }
      at.linear(layer + "intermediate_query.dense", config.intermediateSize(), width);
      at.linear(layer + "output_query.dense", width, config.intermediateSize());
      at.norm(layer + "output_query.LayerNorm", width);
    }
    return at.entries;
  }

  private void attention(String prefix, long width, long keyWidth) {
    linear(prefix + "self.query", width, width);
    linear(prefix + "self.key", width, keyWidth);
    linear(prefix + "self.value", width, keyWidth);
    linear(prefix + "output.dense", width, width);
    norm(prefix + "output.LayerNorm", width);
  }

  /** The tensors of a language model alone, under Hugging Face's names. */
  public static List<Entry> llama(LlamaConfig config) {
    ModelLayout at = new ModelLayout(Part.LLAMA);
    long hidden = config.hiddenSize();
    long attention = (long) config.numAttentionHeads() * config.headSize();
    long keyValue = (long) config.numKeyValueHeads() * config.headSize();
    long inner = config.intermediateSize();
    at.add("model.embed_tokens.weight", config.vocabSize(), hidden);
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      String layer = "model.layers." + i + ".";
      at.add(layer + "input_layernorm.weight", hidden);
      at.add(layer + "self_attn.q_proj.weight", attention, hidden);
      at.add(layer + "self_attn.k_proj.weight", keyValue, hidden);
      at.add(layer + "self_attn.v_proj.weight", keyValue, hidden);
      at.add(layer + "self_attn.o_proj.weight", hidden, attention);
      at.add(layer + "post_attention_layernorm.weight", hidden);
      at.add(layer + "mlp.gate_proj.weight", inner, hidden);
      at.add(layer + "mlp.up_proj.weight", inner, hidden);
      at.add(layer + "mlp.down_proj.weight", hidden, inner);
    }
    at.add("model.norm.weight", hidden);
    if (!config.tieWordEmbeddings()) {
      at.add("lm_head.weight", config.vocabSize(), hidden);
    }
    return at.entries;
  }

  private void linear(String name, long to, long from) {
    add(name + ".weight", to, from);
    add(name + ".bias", to);
  }

  private void norm(String name, long width) {
    add(name + ".weight", width);
    add(name + ".bias", width);
  }

  private void add(String name, long... shape) {
    entries.add(new Entry(part, name, Arrays.stream(shape).boxed().toList()));
  }
}
