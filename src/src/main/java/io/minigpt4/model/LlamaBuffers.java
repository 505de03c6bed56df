package io.minigpt4.model;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;

/**
 * Activations of one pass of a fixed number of rows M. Kept as objects, because a decode step that
 * made its tensors anew would make garbage.
 *
 * @param hidden [M, H], the residual stream
 * @param normed [M, H]
 * @param delta [M, H], what a sub-layer adds to the residual stream
 * @param query [M, heads · D]
 * @param key [M, kvHeads · D]
 * @param value [M, kvHeads · D]
 * @param attended [M, heads · D]
 * @param gate [M, F]
 * @param up [M, F]
 */
record LlamaBuffers(
    Tensor hidden,
    Tensor normed,
    Tensor delta,
    Tensor query,
    Tensor key,
    Tensor value,
    Tensor attended,
    Tensor gate,
    Tensor up) {

  /** Where the memory comes from. */
  @FunctionalInterface
  interface Source {
    Tensor take(DType dtype, long... shape);
  }

  static LlamaBuffers take(Source memory, DType dtype, LlamaConfig config, int rows) {
    int attention = config.numAttentionHeads() * config.headSize();
    int keyValue = config.numKeyValueHeads() * config.headSize();
    return new LlamaBuffers(
        memory.take(dtype, rows, config.hiddenSize()),
        memory.take(dtype, rows, config.hiddenSize()),
        memory.take(dtype, rows, config.hiddenSize()),
        memory.take(dtype, rows, attention),
        memory.take(dtype, rows, keyValue),
        memory.take(dtype, rows, keyValue),
        memory.take(dtype, rows, attention),
        memory.take(dtype, rows, config.intermediateSize()),
        memory.take(dtype, rows, config.intermediateSize()));
  }

  /** The first {@code rows} rows of these. */
  LlamaBuffers first(int rows) {
    return new LlamaBuffers(
        hidden.slice(0, rows),
        normed.slice(0, rows),
        delta.slice(0, rows),
        query.slice(0, rows),
        key.slice(0, rows),
        value.slice(0, rows),
        attended.slice(0, rows),
        gate.slice(0, rows),
        up.slice(0, rows));
  }
}
