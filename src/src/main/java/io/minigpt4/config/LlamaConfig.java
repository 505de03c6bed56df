package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Sizes and constants of a LLaMA-family decoder, as Hugging Face's {@code config.json} gives them.
 *
 * @param vocabSize rows of the embedding and of the head
 * @param hiddenSize width of the residual stream
 * @param intermediateSize width of the MLP's hidden layer
 * @param numHiddenLayers decoder layers
 * @param numAttentionHeads query heads; divides {@code hiddenSize} into even parts
 * @param numKeyValueHeads key and value heads; divides {@code numAttentionHeads}
 * @param maxPositionEmbeddings context length in tokens
 * @param rmsNormEps epsilon of the RMSNorms
 * @param ropeTheta base of the rotary embedding's frequencies
 * @param ropeScaling linear scaling: positions are divided by it; 1 for none
 * @param tieWordEmbeddings whether the head is the embedding matrix
 * @param bosTokenId begin-of-sequence token
 * @param eosTokenId end-of-sequence token
 */
public record LlamaConfig(
    int vocabSize,
    int hiddenSize,
    int intermediateSize,
    int numHiddenLayers,
    int numAttentionHeads,
    int numKeyValueHeads,
    int maxPositionEmbeddings,
    float rmsNormEps,
    double ropeTheta,
    double ropeScaling,
    boolean tieWordEmbeddings,
    int bosTokenId,
    int eosTokenId) {

  /**
   * Reads the {@code config.json} of a Hugging Face LLaMA folder.
   *
   * @param folder holds {@code config.json}
   * @throws UserException if it is missing, malformed, or describes something that is not computed
   *     here
   */
  public static LlamaConfig read(Path folder) {
    return of(JsonFile.read(folder.resolve("config.json")));
  }

  static LlamaConfig of(ConfigNode node) {
    refuseOtherModels(node);
    int hidden = node.integer("hidden_size", 1, Limits.WIDTH);
    int heads = Limits.heads(node, "num_attention_heads", hidden);
    if (hidden / heads % 2 != 0) {
      throw node.get("num_attention_heads")
          .unfit("one that gives an even head size (hidden_size is " + hidden + ")");
    }
    if (node.integer("head_dim", hidden / heads, 1, Limits.WIDTH) != hidden / heads) {
      throw node.get("head_dim").unfit("hidden_size / num_attention_heads = " + hidden / heads);
    }
    int keyValueHeads = node.integer("num_key_value_heads", heads, 1, heads);
    if (heads % keyValueHeads != 0) {
      throw node.get("num_key_value_heads").unfit("a divisor of num_attention_heads " + heads);
    }
    int vocabulary = node.integer("vocab_size", 1, Limits.TOKENS);
    return new LlamaConfig(
        vocabulary,
        hidden,
        node.integer("intermediate_size", 1, Limits.WIDTH),
        node.integer("num_hidden_layers", 1, Limits.LAYERS),
        heads,
        keyValueHeads,
        node.integer("max_position_embeddings", 2048, 1, Limits.TOKENS),
        Limits.epsilon(node, "rms_norm_eps", 1e-6),
        ropeTheta(node),
        ropeScaling(node),
        node.flag("tie_word_embeddings", false),
        token(node, "bos_token_id", 1, vocabulary),
        token(node, "eos_token_id", 2, vocabulary));
  }

  /** Width of one attention head. */
  public int headSize() {
    return hiddenSize / numAttentionHeads;
  }

  private static void refuseOtherModels(ConfigNode node) {
    if (!node.text("model_type", "llama").equals("llama")) {
      throw node.get("model_type").unfit("'llama': other model families are not supported");
    }
    if (!node.text("hidden_act", "silu").equals("silu")) {
      throw node.get("hidden_act").unfit("'silu'");
    }
    for (String bias : List.of("attention_bias", "mlp_bias")) {
      if (node.flag(bias, false)) {
        throw node.get(bias).unfit("false: biases are not supported");
      }
    }
    ConfigNode quantised = node.find("quantization_config");
    if (quantised != null) {
      throw new UserException(
          quantised.place()
              + ": weights quantised by another program ("
              + quantised.text("quant_method", "of an unnamed method")
              + ") are not supported: use the unquantised model");
    }
  }

  /** Older files keep the base at the root, newer ones in {@code rope_parameters}. */
  private static double ropeTheta(ConfigNode node) {
    double atRoot = node.number("rope_theta", 10000, 1, Double.MAX_VALUE);
    return node.object("rope_parameters").number("rope_theta", atRoot, 1, Double.MAX_VALUE);
  }

  private static double ropeScaling(ConfigNode node) {
    ConfigNode scaling = node.find("rope_scaling");
    if (scaling == null) {
      scaling = node.find("rope_parameters");
    }
    if (scaling == null) {
      return 1;
    }
    ConfigNode type = ropeType(scaling);
    String name = type == null ? "default" : type.asText();
    if (type != null && !name.equals("default") && !name.equals("linear")) {
      throw type.unfit("'linear' or 'default': other ways of scaling RoPE are not supported");
    }
    return name.equals("linear") ? scaling.get("factor").asNumber(1, 1e6) : 1;
  }

  private static @Nullable ConfigNode ropeType(ConfigNode scaling) {
    ConfigNode type = scaling.find("rope_type");
    return type == null ? scaling.find("type") : type;
  }

  /** A token id. Some files wrap it into a list; a list of several is not supported. */
  private static int token(ConfigNode node, String key, int fallback, int vocabulary) {
    ConfigNode id = node.find(key);
    if (id != null && id.isList()) {
      List<ConfigNode> ids = id.asList();
      if (ids.size() != 1) {
        throw id.unfit("one token id: several are not supported");
      }
      id = ids.getFirst();
    }
    return id == null ? fallback : id.asInteger(0, vocabulary - 1);
  }
}
