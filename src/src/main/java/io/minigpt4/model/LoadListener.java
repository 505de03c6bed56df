package io.minigpt4.model;

/** Hears how far loading a model is. */
@FunctionalInterface
public interface LoadListener {
  /** Nobody listens. */
  LoadListener NONE = (done, total) -> {};

  /**
   * Called now and then, by the thread that loads.
   *
   * @param done bytes of weights that are in memory
   * @param total bytes of all weights in the files; some may not be needed, and then done ends
   *     below
   */
  void loaded(long done, long total);

  /**
   * Called once, before weights are loaded to where they are used as they lie.
   *
   * @param bytes of all weights
   */
  default void expects(long bytes) {}

  /**
   * Called for what may not be as the user thinks.
   *
   * @param message a line
   */
  default void warns(String message) {}
}
