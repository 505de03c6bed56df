package io.minigpt4.model;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.util.List;

/**
 * Activations of one pass of a fixed number of rows M. Kept as objects, because a decode step that
 * made its tensors anew would make garbage.
 *
 * @param hidden [M, H], the residual stream
 * @param normed [M, H]
 * @param delta [M, H], what a sub-layer adds to the residual stream
 * @param projected queries [M, heads · D], keys [M, kvHeads · D] and values [M, kvHeads · D]
 * @param attended [M, heads · D]
 * @param gateAndUp both [M, F]
 */
record LlamaBuffers(
    Tensor hidden,
    Tensor normed,
    Tensor delta,
    List<Tensor> projected,
    Tensor attended,
    List<Tensor> gateAndUp) {

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
        List.of(
            memory.take(dtype, rows, attention),
            memory.take(dtype, rows, keyValue),
            memory.take(dtype, rows, keyValue)),
        memory.take(dtype, rows, attention),
        List.of(
            memory.take(dtype, rows, config.intermediateSize()),
            memory.take(dtype, rows, config.intermediateSize())));
  }

  /** The first {@code rows} rows of these. */
  LlamaBuffers first(int rows) {
    return new LlamaBuffers(
        hidden.slice(0, rows),
        normed.slice(0, rows),
        delta.slice(0, rows),
        projected.stream().map(t -> t.slice(0, rows)).toList(),
        attended.slice(0, rows),
        gateAndUp.stream().map(t -> t.slice(0, rows)).toList());
  }

  /** Queries [M, heads · D]. */
  Tensor query() {
    return projected.get(0);
  }

  /** Keys [M, kvHeads · D]. */
  Tensor key() {
    return projected.get(1);
  }

  /** Values [M, kvHeads · D]. */
  Tensor value() {
    return projected.get(2);
  }

  /** The gate [M, F]. */
  Tensor gate() {
    return gateAndUp.get(0);
  }

  /** What the gate is multiplied with [M, F]. */
  Tensor up() {
    return gateAndUp.get(1);
  }
}
