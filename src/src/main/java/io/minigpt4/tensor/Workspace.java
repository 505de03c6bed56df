package io.minigpt4.tensor;

/**
 * Memory for activations, handed out by bumping a pointer and taken back all at once. The same
 * sequence of calls yields the same addresses, so that a decode step can be captured once and
 * replayed.
 *
 * <p>Not safe for use by several threads.
 */
public interface Workspace extends AutoCloseable {
  /**
   * An uninitialised dense tensor, aligned to 64 bytes, valid until the enclosing mark is released.
   * Grows the workspace when it is full; tensors handed out before stay where they are.
   */
  Tensor take(DType dtype, long... shape);

  /** The current position, for {@link #release}. */
  long mark();

  /**
   * Takes back everything handed out since {@code mark}.
   *
   * @param mark a value from {@link #mark} that has not been released past
   */
  void release(long mark);

  /** Bytes that are held from the system at the moment. */
  long capacity();

  @Override
  void close();
}
