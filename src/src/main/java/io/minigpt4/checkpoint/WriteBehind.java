package io.minigpt4.checkpoint;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.channels.FileChannel;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/**
 * Has the disk write what a file got so far while its next bytes are still being made. Left to
 * itself the operating system collects gigabytes first, and whoever waits for the disk at the end
 * waits for all of them.
 *
 * <p>Not safe for use by several threads; the waiting is done by a thread of its own.
 */
final class WriteBehind implements AutoCloseable {
  private static final long STRETCH = 64L << 20;

  private final Callable<@Nullable Void> force;
  private final ExecutorService thread =
      Executors.newSingleThreadExecutor(
          Thread.ofPlatform().daemon().name("write-behind").factory());
  private @Nullable Future<@Nullable Void> running;
  private long waiting;

  WriteBehind(FileChannel channel) {
    this.force =
        () -> {
          channel.force(false);
          return null;
        };
  }

  /**
   * Notes that more was written.
   *
   * @throws IOException if the disk did not take what was written before
   */
  void wrote(long bytes) throws IOException {
    waiting += bytes;
    if (waiting >= STRETCH && (running == null || running.isDone())) {
      finish();
      waiting = 0;
      running = thread.submit(force);
    }
  }

  /**
   * Waits for what was begun.
   *
   * @throws IOException if the disk did not take it
   */
  void finish() throws IOException {
    Future<@Nullable Void> last = running;
    running = null;
    if (last == null) {
      return;
    }
    try {
      last.get();
    } catch (ExecutionException e) {
      throw e.getCause() instanceof IOException reason ? reason : new IOException(e.getCause());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted while waiting for the disk");
    }
  }

  /** Waits for what was begun, however it ends. */
  @Override
  public void close() {
    thread.close();
  }
}
