package io.minigpt4.model;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.Tensor;

/**
 * Weights of one decoder layer. With H the hidden size, A = heads · headDim, K = kvHeads · headDim
 * and F the feed-forward size:
 *
 * @param inputNorm [H]
 * @param query [A, H]
 * @param key [K, H]
 * @param value [K, H]
 * @param output [H, A]
 * @param postNorm [H]
 * @param gate [F, H]
 * @param up [F, H]
 * @param down [H, F]
 */
record LlamaLayer(
    Tensor inputNorm,
    Tensor query,
    Tensor key,
    Tensor value,
    Tensor output,
    Tensor postNorm,
    Tensor gate,
    Tensor up,
    Tensor down) {

  /** Reads {@code input_layernorm.weight} and so on at the reader's level. */
  static LlamaLayer read(WeightReader in, LlamaConfig config) {
    long hidden = config.hiddenSize();
    long attention = (long) config.numAttentionHeads() * config.headSize();
    long keyValue = (long) config.numKeyValueHeads() * config.headSize();
    long inner = config.intermediateSize();
    return new LlamaLayer(
        in.get("input_layernorm.weight", hidden),
        in.matrix("self_attn.q_proj.weight", attention, hidden),
        in.matrix("self_attn.k_proj.weight", keyValue, hidden),
        in.matrix("self_attn.v_proj.weight", keyValue, hidden),
        in.matrix("self_attn.o_proj.weight", hidden, attention),
        in.get("post_attention_layernorm.weight", hidden),
        in.matrix("mlp.gate_proj.weight", inner, hidden),
        in.matrix("mlp.up_proj.weight", inner, hidden),
        in.matrix("mlp.down_proj.weight", hidden, inner));
  }
}
