package io.minigpt4.train;

/**
 * Where samples come from, one after the other, for ever. Drawing is quick and happens on one
 * thread; what takes time, reading and decoding, is left to {@link Draw#load} on many.
 */
public interface SampleSource {
  /** A sample that was chosen and not loaded yet. */
  interface Draw {
    /** What messages call it: a file, a member of an archive. */
    String name();

    /**
     * Reads and decodes it; always gives the same.
     *
     * @throws io.minigpt4.tensor.UserException if it is broken
     */
    Sample load();
  }

  /** The next one. */
  Draw next();

  /** Where it is: given to {@link #seek} of a new source, the same samples follow. */
  String position();

  /**
   * Goes where another source was.
   *
   * @throws io.minigpt4.tensor.UserException if the position is not one of this source
   */
  void seek(String position);
}
