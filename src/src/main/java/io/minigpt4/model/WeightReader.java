package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.QuantisedTensors;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Takes the weights of one part of the model out of a checkpoint: sees that each is there with the
 * expected shape and of a floating-point type, and hands it to the device.
 */
final class WeightReader {
  /** In an expected shape: any size. */
  static final long ANY = -1;

  /** More than any dimension has that sizes are taken from; keeps their products in range. */
  private static final int MOST = 1 << 20;

  private final Checkpoint checkpoint;
  private final String prefix;
  private final @Nullable Ops ops;

  /**
   * One that only looks at names and shapes.
   *
   * @param prefix put before every name, e.g. {@code visual_encoder.}
   */
  WeightReader(Checkpoint checkpoint, String prefix) {
    this(checkpoint, prefix, null);
  }

  /**
   * @param prefix put before every name, e.g. {@code visual_encoder.}
   * @param ops where weights go; null if only names and shapes are looked at
   */
  WeightReader(Checkpoint checkpoint, String prefix, @Nullable Ops ops) {
    this.checkpoint = checkpoint;
    this.prefix = prefix;
    this.ops = ops;
  }

  /** The same checkpoint with more before every name. */
  WeightReader within(String child) {
    return new WeightReader(checkpoint, prefix + child, ops);
  }

  Ops ops() {
    return Objects.requireNonNull(ops);
  }

  boolean has(String name) {
    return checkpoint.contains(prefix + name);
  }

  /**
   * A weight on the device.
   *
   * @param shape its dimensions; {@link #ANY} where the tensor decides
   * @throws UserException if it is missing, has another shape or is not of a floating-point type
   */
  Tensor get(String name, long... shape) {
    Tensor host = host(name, shape);
    return host.dtype() == DType.F64
        ? HostFloats.toDevice(HostFloats.of(host), ops(), host.shape())
        : ops().load(host);
  }

  /**
   * A linear layer's weight on the device, quantised if it lies so.
   *
   * @throws UserException if it is missing, has another shape or is of another type
   */
  Tensor matrix(String name, long to, long from) {
    String full = prefix + name;
    return QuantisedTensors.isQuantised(checkpoint.dtype(full))
        ? ops().load(QuantisedTensors.read(checkpoint, full, to, from))
        : get(name, to, from);
  }

  /** The elements of a small weight, for work on the host. */
  float[] floats(String name, long... shape) {
    return HostFloats.of(host(name, shape));
  }

  /**
   * A dimension of a weight that must have so many of them.
   *
   * @throws UserException if it has not, is missing, or the dimension is not 1 to {@link #MOST}
   */
  int dimension(String name, int rank, int i) {
    long[] shape = checkpoint.shape(prefix + name);
    if (shape.length != rank) {
      throw problem(name, "has " + shape.length + " dimensions where " + rank + " are expected");
    }
    if (shape[i] < 1 || shape[i] > MOST) {
      throw problem(name, "has the shape " + Arrays.toString(shape) + ", which is no model's");
    }
    return (int) shape[i];
  }

  /**
   * Sees that a checkpoint has no more layers than its config says, as without them the model would
   * run and talk nonsense.
   *
   * @param next a weight that the next layer would have
   * @param layers how many there are
   * @throws UserException if there is such a weight
   */
  void requireNone(String next, int layers) {
    if (has(next)) {
      throw problem(
          next,
          "is one layer more than the "
              + layers
              + " that config.json names (num_hidden_layers); do they belong together?");
    }
  }

  /** The complaint about a weight, in the form {@code tensor 'name' in file …}. */
  UserException problem(String name, String what) {
    String full = prefix + name;
    return new UserException("tensor '" + full + "' in " + checkpoint.source(full) + " " + what);
  }

  private Tensor host(String name, long... shape) {
    Tensor tensor = checkpoint.require(prefix + name, shape);
    if (!tensor.dtype().isFloating()) {
      throw problem(
          name, "is of type " + tensor.dtype() + " where a floating-point type is expected");
    }
    return tensor;
  }
}
