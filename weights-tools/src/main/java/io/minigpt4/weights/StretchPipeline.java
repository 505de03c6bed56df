package io.minigpt4.weights;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * Makes the stretches of tensors on all processors while those made before are being written: they
 * are handed on in their order, by the thread that asks.
 *
 * <p>Not safe for use by several threads.
 */
final class StretchPipeline implements AutoCloseable {
  /** Elements of a stretch: few enough for a processor's cache, many beside a hand-over. */
  private static final long STRETCH = 1 << 18;

  private static final int MOST_THREADS = 16;

  private final Arena arena = Arena.ofShared();
  private final ExecutorService threads;
  private final List<MemorySegment> rooms = new ArrayList<>();

  /**
   * @param tensors all that will be asked for
   */
  StretchPipeline(List<PlannedTensor> tensors) {
    int workers = Math.min(Runtime.getRuntime().availableProcessors(), MOST_THREADS);
    threads =
        Executors.newFixedThreadPool(
            workers + 1, Thread.ofPlatform().daemon().name("stretch-", 0).factory());
    long most = tensors.stream().mapToLong(t -> atOnce(t) * t.dtype().bytes()).max().orElse(0);
    // One being written and one waiting beside those that are being made.
    for (int i = 0; i < workers + 2; i++) {
      rooms.add(arena.allocate(most, 64));
    }
  }

  /** Elements of a tensor that are made at once. */
  private static long atOnce(PlannedTensor tensor) {
    long grain = tensor.grain();
    return Math.min(tensor.elements(), Math.max(1, STRETCH / grain) * grain);
  }

  /**
   * Makes tensors, one after the other, each once it is seen to be {@linkplain PlannedTensor#verify
   * as it was written}. That is seen while the one before is made, which also brings it from the
   * disk in time.
   *
   * @param sink takes the stretches of each tensor, see {@link #make(PlannedTensor, Consumer)}
   */
  void make(List<PlannedTensor> inOrder, BiConsumer<PlannedTensor, MemorySegment> sink) {
    Deque<CompletableFuture<Void>> seen = new ArrayDeque<>();
    for (int i = 0; i < inOrder.size(); i++) {
      for (int next = i + seen.size(); next < inOrder.size() && next <= i + 1; next++) {
        seen.add(CompletableFuture.runAsync(inOrder.get(next)::verify, threads));
      }
      join(seen.remove());
      PlannedTensor tensor = inOrder.get(i);
      make(tensor, stretch -> sink.accept(tensor, stretch));
    }
  }

  private static <T> T join(CompletableFuture<T> future) {
    try {
      return future.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException reason ? reason : e;
    }
  }

  /**
   * Makes a tensor.
   *
   * @param sink takes the stretches from the first to the last, before the next call ends; an empty
   *     one if the tensor has no elements
   */
  void make(PlannedTensor tensor, Consumer<MemorySegment> sink) {
    if (tensor.elements() == 0) {
      sink.accept(rooms.getFirst().asSlice(0, 0));
      return;
    }
    long atOnce = atOnce(tensor);
    long stretches = (tensor.elements() + atOnce - 1) / atOnce;
    Deque<CompletableFuture<MemorySegment>> ahead = new ArrayDeque<>();
    tensor.prepare();
    try {
      long begun = 0;
      for (long next = 0; next < stretches; next++) {
        for (; begun < stretches && begun < next + rooms.size(); begun++) {
          MemorySegment room = rooms.get((int) (begun % rooms.size()));
          ahead.add(begin(tensor, begun * atOnce, atOnce, room));
        }
        sink.accept(join(ahead.remove()));
      }
    } finally {
      // What the others work with must not go away under them.
      ahead.forEach(stretch -> stretch.handle((made, failure) -> made).join());
      tensor.release();
    }
  }

  private CompletableFuture<MemorySegment> begin(
      PlannedTensor tensor, long from, long atOnce, MemorySegment room) {
    long count = Math.min(atOnce, tensor.elements() - from);
    MemorySegment exact = room.asSlice(0, count * tensor.dtype().bytes());
    return CompletableFuture.supplyAsync(
        () -> {
          MemorySegment made = tensor.stretch(from, count, exact);
          if (made.isMapped()) {
            made.load(); // the thread that writes shall not wait for the disk
          }
          return made;
        },
        threads);
  }

  /** Ends the threads. */
  @Override
  public void close() {
    threads.close();
    arena.close();
  }
}
