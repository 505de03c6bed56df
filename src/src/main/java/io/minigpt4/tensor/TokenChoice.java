package io.minigpt4.tensor;

/**
 * The choosing of one sequence's tokens on a device, which keeps the tokens so far and the place
 * among the random numbers. {@link Ops#tokenChoice} makes it.
 */
public interface TokenChoice extends AutoCloseable {
  /** Gives its memory back. */
  @Override
  void close();
}
