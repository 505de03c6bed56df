package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BiConsumer;

/**
 * Makes batches of a source's samples, loading ahead on other threads. Samples come in the order in
 * which they were drawn, however many threads there are; broken ones are reported and skipped.
 *
 * <p>Not safe for use by several threads.
 */
public final class SampleLoader implements Batches {
  /** Broken samples in a row after which something else must be wrong. */
  private static final int MOST_BROKEN = 1000;

  private final SampleSource source;
  private final int ahead;
  private final ExecutorService threads;
  private final BiConsumer<String, String> broken;
  private final ArrayDeque<Loading> queue = new ArrayDeque<>();
  private String position;
  private long skipped;

  private record Loading(String name, Future<Sample> sample, String positionAfter) {}

  /**
   * @param workers threads that load, at least 1
   * @param ahead samples that are loaded before they are asked for
   * @param broken is told the name of each broken sample and what is wrong
   */
  public SampleLoader(
      SampleSource source, int workers, int ahead, BiConsumer<String, String> broken) {
    this.source = source;
    this.ahead = ahead;
    this.broken = broken;
    this.position = source.position();
    this.threads =
        Executors.newFixedThreadPool(
            workers,
            task -> {
              Thread thread = new Thread(task, "sample loader");
              thread.setDaemon(true);
              return thread;
            });
  }

  @Override
  public void seek(String place) {
    source.seek(place);
    queue.forEach(loading -> loading.sample.cancel(false));
    queue.clear();
    position = source.position();
  }

  /** Where the source was after the last sample that was handed out. */
  @Override
  public String position() {
    return position;
  }

  @Override
  public long skipped() {
    return skipped;
  }

  /**
   * The next samples.
   *
   * @throws UserException if very many in a row are broken
   */
  @Override
  public List<Sample> next(int count) throws InterruptedException {
    List<Sample> batch = new ArrayList<>();
    int brokenInARow = 0;
    while (batch.size() < count) {
      while (queue.size() < ahead + 1) {
        SampleSource.Draw draw = source.next();
        queue.add(new Loading(draw.name(), threads.submit(draw::load), source.position()));
      }
      Loading first = queue.remove();
      position = first.positionAfter;
      try {
        batch.add(first.sample.get());
        brokenInARow = 0;
      } catch (ExecutionException e) {
        if (!(e.getCause() instanceof UserException problem)) {
          throw new IllegalStateException(first.name + " could not be loaded", e.getCause());
        }
        skipped++;
        broken.accept(first.name, String.valueOf(problem.getMessage()));
        if (++brokenInARow == MOST_BROKEN) {
          throw new UserException(
              MOST_BROKEN + " samples in a row are broken, the last is " + first.name, problem);
        }
      }
    }
    return batch;
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
