package io.minigpt4.config;

/**
 * Sizes of the Q-Former (BLIP-2's; a BERT encoder over learned queries).
 *
 * @param numQueryTokens learned queries, which is also the number of tokens an image becomes
 * @param hiddenSize width
 * @param numHiddenLayers layers
 * @param numAttentionHeads attention heads; divides {@code hiddenSize}
 * @param intermediateSize width of the feed-forward's hidden layer
 * @param layerNormEps epsilon of its LayerNorms
 */
public record QFormerConfig(
    int numQueryTokens,
    int hiddenSize,
    int numHiddenLayers,
    int numAttentionHeads,
    int intermediateSize,
    float layerNormEps) {
  static QFormerConfig of(ConfigNode node) {
    int hidden = node.integer("hidden_size", 1, Limits.WIDTH);
    return new QFormerConfig(
        node.integer("num_query_tokens", 1, 65536),
        hidden,
        node.integer("num_hidden_layers", 1, Limits.LAYERS),
        Limits.heads(node, "num_attention_heads", hidden),
        node.integer("intermediate_size", 1, Limits.WIDTH),
        Limits.epsilon(node, "layer_norm_eps", 1e-12));
  }
}
