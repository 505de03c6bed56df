package io.minigpt4.distributed;

import io.minigpt4.tensor.Tensor;

/**
 * The processes that train together, each with its rank. All of them make the same calls in the
 * same order.
 */
public interface Collective extends AutoCloseable {
  /** This process's number, from 0. */
  int rank();

  /** Number of processes. */
  int size();

  /**
   * Replaces each element by its mean over all processes.
   *
   * @param tensor dense F32 of the same shape everywhere
   */
  void average(Tensor tensor);

  /** The mean of a number over all processes. */
  double average(double value);

  @Override
  void close();

  /** One process alone. */
  static Collective single() {
    return Single.INSTANCE;
  }
}
