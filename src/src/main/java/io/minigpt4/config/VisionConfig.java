package io.minigpt4.config;

/**
 * Sizes of the vision transformer (EVA-CLIP's ViT; the published one is ViT-g/14).
 *
 * @param imageSize side of the square input in pixels; a multiple of {@code patchSize}
 * @param patchSize side of a patch in pixels
 * @param hiddenSize width of the residual stream
 * @param numHiddenLayers transformer blocks
 * @param numAttentionHeads attention heads; divides {@code hiddenSize}
 * @param intermediateSize width of the feed-forward's hidden layer
 * @param layerNormEps epsilon of the blocks' LayerNorms
 */
public record VisionConfig(
    int imageSize,
    int patchSize,
    int hiddenSize,
    int numHiddenLayers,
    int numAttentionHeads,
    int intermediateSize,
    float layerNormEps) {
  static VisionConfig of(ConfigNode node) {
    int patch = node.integer("patch_size", 1, 1024);
    int image = node.integer("image_size", 1, 16384);
    if (image % patch != 0) {
      throw node.get("image_size").unfit("a multiple of patch_size " + patch);
    }
    int hidden = node.integer("hidden_size", 1, Limits.WIDTH);
    return new VisionConfig(
        image,
        patch,
        hidden,
        node.integer("num_hidden_layers", 1, Limits.LAYERS),
        Limits.heads(node, "num_attention_heads", hidden),
        node.integer("intermediate_size", 1, Limits.WIDTH),
        Limits.epsilon(node, "layer_norm_eps", 1e-6));
  }

  /** Tokens that come out: one a patch, and the class token. */
  public int numTokens() {
    int side = imageSize / patchSize;
    return side * side + 1;
  }
}
