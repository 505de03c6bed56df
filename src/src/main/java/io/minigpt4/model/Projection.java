package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.SplittableRandom;

/**
 * The one linear layer that MiniGPT-4 trains ({@code llama_proj}): from the Q-Former's width to the
 * language model's (Zhu et al. 2023).
 */
public final class Projection {
  private final Ops ops;
  private final Linear linear;

  private Projection(Ops ops, Linear linear) {
    this.ops = ops;
    this.linear = linear;
  }

  /**
   * Reads {@code llama_proj.weight} and {@code llama_proj.bias}.
   *
   * @param from the Q-Former's width
   * @param to the language model's width
   * @throws UserException if a tensor is missing or its shape is not [to, from], [to]
   */
  public static Projection read(Checkpoint checkpoint, int from, int to, Ops ops) {
    WeightReader in = new WeightReader(checkpoint, "", ops);
    return new Projection(ops, Linear.read(in, "llama_proj", to, from));
  }

  /**
   * Random weights, for benchmarks and tests.
   *
   * @param dtype F32, F16 or BF16
   */
  public static Projection random(int from, int to, DType dtype, long seed, Ops ops) {
    return new Projection(ops, Linear.random(new RandomWeights(dtype, seed, ops), to, from));
  }

  /**
   * A projection over tensors that somebody else owns and may change, as training does.
   *
   * @param weight [to, from]
   * @param bias [to]
   */
  public static Projection of(Tensor weight, Tensor bias, Ops ops) {
    if (bias.elements() != weight.rows()) {
      throw new IllegalArgumentException("weight " + weight + " and bias " + bias);
    }
    return new Projection(ops, new Linear(weight, bias));
  }

  /**
   * A projection that knows nothing yet: PyTorch's default for a linear layer, weight and bias
   * uniform between ±1/√from, in float32.
   *
   * @param from the Q-Former's width
   * @param to the language model's width
   */
  public static Projection untrained(int from, int to, long seed, Ops ops) {
    SplittableRandom random = new SplittableRandom(seed);
    double bound = 1 / Math.sqrt(from);
    Tensor weight = HostFloats.toDevice(uniform(random, bound, to * from), ops, to, from);
    Tensor bias = HostFloats.toDevice(uniform(random, bound, to), ops, to);
    return new Projection(ops, new Linear(weight, bias));
  }

  private static float[] uniform(SplittableRandom random, double bound, int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextDouble(-bound, bound);
    }
    return values;
  }

  /** The weight [to, from]. */
  public Tensor weight() {
    return linear.weight();
  }

  /** The bias [to]. */
  public Tensor bias() {
    return linear.bias();
  }

  /**
   * Projects query features.
   *
   * @param x [rows, from]
   * @param out [rows, to]
   */
  public void forward(Tensor x, Tensor out) {
    linear.apply(ops, x, out);
  }
}
