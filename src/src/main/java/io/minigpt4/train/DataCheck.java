package io.minigpt4.train;

import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.ints.IntArrayList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Reads a whole data set as training would, every picture decoded, and says what is in it and what
 * is broken.
 */
public final class DataCheck {
  private final Listener listener;
  private final int threads;
  private final IntArrayList characters = new IntArrayList();
  private final IntArrayList words = new IntArrayList();
  private final IntArrayList widths = new IntArrayList();
  private final IntArrayList heights = new IntArrayList();
  private long empty;
  private long broken;
  private int damaged;
  private long bytes;

  /** Is told what is found, by one thread at a time. */
  public interface Listener {
    /** A sample or an archive that cannot be read: which one, and why. */
    void broken(String problem);

    /** How far it is, in archives, or in samples of a folder. */
    void progress(int done, int all);
  }

  /**
   * How some numbers are spread.
   *
   * @param percentile95 the least number that 95 % do not exceed
   */
  public record Spread(int least, int median, int percentile95, int most) {
    static Spread of(IntArrayList values) {
      if (values.isEmpty()) {
        return new Spread(0, 0, 0, 0);
      }
      int[] sorted = values.toIntArray();
      Arrays.parallelSort(sorted);
      int last = sorted.length - 1;
      return new Spread(
          sorted[0], sorted[last / 2], sorted[(int) Math.ceil(0.95 * last)], sorted[last]);
    }
  }

  /**
   * What was found.
   *
   * @param shards archives; 0 for a folder
   * @param damagedShards those that are missing or cannot be read to their end
   * @param samples whole ones
   * @param brokenSamples others, without those that a damaged archive hides
   * @param emptyCaptions whole samples that say nothing
   * @param pictureBytes of encoded pictures, in whole samples
   * @param characters of captions
   * @param words of captions
   * @param widths of pictures, in pixels
   * @param heights of pictures, in pixels
   */
  public record Report(
      int shards,
      int damagedShards,
      long samples,
      long brokenSamples,
      long emptyCaptions,
      long pictureBytes,
      Spread characters,
      Spread words,
      Spread widths,
      Spread heights) {
    /** Whether training would skip nothing. */
    public boolean isWhole() {
      return damagedShards == 0 && brokenSamples == 0;
    }
  }

  private DataCheck(int threads, Listener listener) {
    this.threads = threads;
    this.listener = listener;
  }

  /**
   * Reads a set.
   *
   * @param storage a folder of the alignment set's layout, or paths of archives with brace ranges
   * @throws UserException if a folder's captions are missing or malformed, or a range matches
   *     nothing
   * @throws InterruptedException if the thread is interrupted
   */
  public static Report run(List<String> storage, int threads, Listener listener)
      throws InterruptedException {
    DataCheck check = new DataCheck(threads, listener);
    List<Runnable> tasks = new ArrayList<>();
    int shards = 0;
    for (String place : storage) {
      Path folder = Path.of(place);
      if (Files.isDirectory(folder)) {
        for (AlignmentFolder.Pair pair : AlignmentFolder.pairs(folder)) {
          tasks.add(() -> check.pair(pair.image(folder), pair.caption()));
        }
        continue;
      }
      for (String shard : Shards.existing(place)) {
        shards++;
        tasks.add(() -> check.shard(shard));
      }
    }
    check.all(tasks);
    return check.report(shards);
  }

  private void all(List<Runnable> tasks) throws InterruptedException {
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    try {
      List<Future<?>> running = new ArrayList<>();
      tasks.forEach(task -> running.add(pool.submit(task)));
      int done = 0;
      for (Future<?> task : running) {
        task.get();
        synchronized (this) {
          listener.progress(++done, tasks.size());
        }
      }
    } catch (ExecutionException e) {
      throw new IllegalStateException("a data set could not be checked", e.getCause());
    } finally {
      pool.shutdownNow();
    }
  }

  private void shard(String file) {
    try (TarShard tar = new TarShard(Path.of(file))) {
      long at = 0;
      for (long end = tar.endOfSample(at); end >= 0; end = tar.endOfSample(at)) {
        String name = file + " at byte " + at;
        try {
          ShardSample sample = ShardSample.of(tar.read(at), name);
          sample(name, sample.picture(), sample.caption());
        } catch (UserException e) {
          broken(e, false);
        }
        at = end;
      }
      if (at == 0) {
        broken(new UserException(file + " has no samples"), true);
      }
    } catch (UserException e) {
      broken(e, true);
    }
  }

  private void pair(Path image, String caption) {
    try {
      sample(image.toString(), Files.readAllBytes(image), caption);
    } catch (IOException e) {
      broken(AlignmentFolder.unreadable(image, e), false);
    } catch (UserException e) {
      broken(e, false);
    }
  }

  private void sample(String name, byte[] encoded, String caption) {
    Picture picture = Pictures.read(encoded, name, PictureOptions.DEFAULT);
    String said = caption.strip();
    synchronized (this) {
      characters.add(said.codePointCount(0, said.length()));
      words.add(said.isEmpty() ? 0 : said.split("\\s+", -1).length);
      widths.add(picture.width());
      heights.add(picture.height());
      empty += said.isEmpty() ? 1 : 0;
      bytes += encoded.length;
    }
  }

  private synchronized void broken(UserException problem, boolean wholeShard) {
    if (wholeShard) {
      damaged++;
    } else {
      broken++;
    }
    listener.broken(String.valueOf(problem.getMessage()));
  }

  private synchronized Report report(int shards) {
    return new Report(
        shards,
        damaged,
        words.size(),
        broken,
        empty,
        bytes,
        Spread.of(characters),
        Spread.of(words),
        Spread.of(widths),
        Spread.of(heights));
  }
}
