package io.minigpt4.model;

import io.minigpt4.tensor.Tensor;

/**
 * A layer norm's weights.
 *
 * @param weight [width]
 * @param bias [width]
 */
record Norm(Tensor weight, Tensor bias) {
  static Norm read(WeightReader in, String name, long width) {
    return new Norm(in.get(name + ".weight", width), in.get(name + ".bias", width));
  }

  static Norm random(RandomWeights random, long width) {
    return new Norm(random.ones(width), random.zeros(width));
  }
}
