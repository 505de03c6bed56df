package io.minigpt4.train;

import java.util.List;

/** Batches of samples, for ever. Not safe for use by several threads. */
public interface Batches extends AutoCloseable {
  /**
   * The next samples.
   *
   * @throws io.minigpt4.tensor.UserException if nothing usable can be read
   */
  List<Sample> next(int count) throws InterruptedException;

  /** Where it is after the last batch: given to {@link #seek}, the same batches follow. */
  String position();

  /**
   * Goes where another one was.
   *
   * @throws io.minigpt4.tensor.UserException if the position is not one of these data
   */
  void seek(String position);

  /** Broken samples that were left out so far. */
  long skipped();

  @Override
  void close();
}
