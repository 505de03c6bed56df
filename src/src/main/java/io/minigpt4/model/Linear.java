package io.minigpt4.model;

import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;

/**
 * A linear layer's weights.
 *
 * @param weight [out, in]
 * @param bias [out]
 */
record Linear(Tensor weight, Tensor bias) {
  static Linear read(WeightReader in, String name, long to, long from) {
    return new Linear(in.get(name + ".weight", to, from), in.get(name + ".bias", to));
  }

  static Linear random(RandomWeights random, long to, long from) {
    return new Linear(random.normal(to, from), random.zeros(to));
  }

  void apply(Ops ops, Tensor x, Tensor out) {
    ops.linear(x, weight, bias, out);
  }
}
