package io.minigpt4.api;

import io.minigpt4.chat.ChatHandle;
import io.minigpt4.chat.ChatListener;
import io.minigpt4.generate.Generation;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.jspecify.annotations.Nullable;

/**
 * An answer on its way. It is computed whether somebody waits for it or not; what there is of it
 * keeps until {@link #await} takes it.
 *
 * <p>{@link #cancel} may be called from any thread, {@link #await} once.
 */
public final class Reply {
  private sealed interface Event {}

  private record Text(String piece) implements Event {}

  private record Restarted() implements Event {}

  private record Finished(Generation generation) implements Event {}

  private record Failed(RuntimeException reason) implements Event {}

  /** As long as the answer is, which the request limits. */
  private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();

  private @Nullable ChatHandle handle;

  Reply() {}

  /** Tells what {@link #cancel} ends. */
  void begun(ChatHandle request) {
    handle = request;
  }

  /** What the engine tells about the answer. */
  ChatListener listener() {
    return new ChatListener() {
      @Override
      public void text(String piece) {
        events.add(new Text(piece));
      }

      @Override
      public void restarted() {
        events.add(new Restarted());
      }

      @Override
      public void finished(Generation generation) {
        events.add(new Finished(generation));
      }

      @Override
      public void failed(RuntimeException reason) {
        events.add(new Failed(reason));
      }
    };
  }

  /** Ends the answer at its next token; what there is of it is the answer then. */
  public void cancel() {
    Objects.requireNonNull(handle).cancel();
  }

  /** As {@link #await(TextListener)}, with nobody who listens. */
  public Generation await() {
    return await(TextListener.NONE);
  }

  /**
   * Waits for the whole answer and meanwhile hands out its pieces. If this thread is interrupted,
   * the answer is cancelled and the thread stays interrupted; if the listener throws, the answer is
   * cancelled and the exception passed on.
   *
   * @param listener called on this thread
   * @return the answer; its finish reason is {@code CANCELLED} if it was cut short
   * @throws io.minigpt4.tensor.UserException if the request is to blame
   * @throws io.minigpt4.chat.DeviceFailedException if the device was lost
   */
  public Generation await(TextListener listener) {
    boolean interrupted = false;
    try {
      while (true) {
        Event event;
        try {
          event = events.take();
        } catch (InterruptedException e) {
          interrupted = true;
          cancel();
          continue;
        }
        switch (event) {
          case Text text -> listener.text(text.piece());
          case Restarted unused -> listener.restarted();
          case Finished finished -> {
            return finished.generation();
          }
          case Failed failed -> throw failed.reason();
        }
      }
    } catch (RuntimeException | Error e) {
      cancel();
      throw e;
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
