package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.driver.State.Capture;
import io.minigpt4.softgpu.driver.State.Stream;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Streams, events and graphs of the CUDA driver API. Graphs are recorded lists of operations. */
final class StreamApi {
  private final State state;

  /** An event: when it was recorded, and into which capture. */
  private static final class Event {
    long nanos;
    @Nullable Capture capture;
  }

  /** What a capture recorded. */
  private record Graph(List<Runnable> operations) {
    @Override
    public boolean equals(Object o) {
      return this == o;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(this);
    }
  }

  /** A graph ready to run. */
  private static final class Executable {
    final List<Runnable> operations;

    Executable(List<Runnable> operations) {
      this.operations = List.copyOf(operations);
    }
  }

  StreamApi(State state) {
    this.state = state;
  }

  public int cuStreamCreate(long stream, int flags) {
    Native.putLong(stream, state.handle(new Stream(state.current())));
    return Status.SUCCESS;
  }

  public int cuStreamCreateWithPriority(long stream, int flags, int priority) {
    return cuStreamCreate(stream, flags);
  }

  public int cuStreamDestroy_v2(long stream) {
    state.remove(stream, Stream.class);
    return Status.SUCCESS;
  }

  public int cuStreamSynchronize(long stream) {
    if (state.stream(stream).capture != null) {
      throw new Status(Status.CAPTURE_UNSUPPORTED, "a capturing stream cannot be waited for");
    }
    return Status.SUCCESS;
  }

  public int cuStreamQuery(long stream) {
    return cuStreamSynchronize(stream);
  }

  /** A stream that waits for an event of a capture becomes part of it. */
  public int cuStreamWaitEvent(long stream, long event, int flags) {
    Stream s = state.stream(stream);
    Capture c = state.get(event, Event.class).capture;
    if (c != null) {
      if (s.capture != null && s.capture != c) {
        throw new Status(Status.CAPTURE_INVALIDATED, "two captures cannot be joined");
      }
      s.capture = c;
    }
    return Status.SUCCESS;
  }

  public int cuEventCreate(long event, int flags) {
    state.current();
    Native.putLong(event, state.handle(new Event()));
    return Status.SUCCESS;
  }

  public int cuEventDestroy_v2(long event) {
    state.remove(event, Event.class);
    return Status.SUCCESS;
  }

  public int cuEventRecord(long event, long stream) {
    Stream s = state.stream(stream);
    Event e = state.get(event, Event.class);
    e.capture = s.capture;
    e.nanos = System.nanoTime();
    return Status.SUCCESS;
  }

  public int cuEventSynchronize(long event) {
    state.current();
    state.get(event, Event.class);
    return Status.SUCCESS;
  }

  public int cuEventQuery(long event) {
    return cuEventSynchronize(event);
  }

  public int cuEventElapsedTime(long milliseconds, long start, long end) {
    Event a = state.get(start, Event.class);
    Event b = state.get(end, Event.class);
    if (a.nanos == 0 || b.nanos == 0) {
      throw new Status(Status.INVALID_HANDLE, "an event has not been recorded");
    }
    Native.putFloat(milliseconds, (b.nanos - a.nanos) / 1e6f);
    return Status.SUCCESS;
  }

  public int cuStreamBeginCapture_v2(long stream, int mode) {
    Stream s = state.stream(stream);
    if (stream <= 2 || s.capture != null) {
      throw new Status(Status.CAPTURE_UNSUPPORTED, "this stream cannot begin a capture");
    }
    s.capture = new Capture(s);
    return Status.SUCCESS;
  }

  public int cuStreamIsCapturing(long stream, long status) {
    Native.putInt(status, state.stream(stream).capture == null ? 0 : 1);
    return Status.SUCCESS;
  }

  public int cuStreamEndCapture(long stream, long graph) {
    Stream s = state.stream(stream);
    Capture c = s.capture;
    if (c == null || c.origin != s) {
      throw new Status(Status.CAPTURE_INVALIDATED, "this stream has begun no capture");
    }
    state.endCapture(c);
    Native.putLong(graph, state.handle(new Graph(new ArrayList<>(c.operations))));
    return Status.SUCCESS;
  }

  public int cuGraphGetNodes(long graph, long nodes, long count) {
    if (nodes != 0) {
      throw new Status(Status.NOT_SUPPORTED, "nodes are only counted");
    }
    Native.putLong(count, state.get(graph, Graph.class).operations().size());
    return Status.SUCCESS;
  }

  public int cuGraphInstantiateWithFlags(long executable, long graph, long flags) {
    Executable e = new Executable(state.get(graph, Graph.class).operations());
    Native.putLong(executable, state.handle(e));
    return Status.SUCCESS;
  }

  public int cuGraphLaunch(long executable, long stream) {
    Stream s = state.stream(stream);
    Executable e = state.get(executable, Executable.class);
    state.enqueue(s, () -> e.operations.forEach(Runnable::run));
    return Status.SUCCESS;
  }

  public int cuGraphUpload(long executable, long stream) {
    state.get(executable, Executable.class);
    return Status.SUCCESS;
  }

  public int cuGraphDestroy(long graph) {
    state.remove(graph, Graph.class);
    return Status.SUCCESS;
  }

  public int cuGraphExecDestroy(long executable) {
    state.remove(executable, Executable.class);
    return Status.SUCCESS;
  }
}
