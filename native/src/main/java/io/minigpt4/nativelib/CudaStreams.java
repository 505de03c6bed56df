package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.CudaStatus.check;
import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;

/**
 * The CUDA driver API: streams, events, and graphs captured from a stream. Each method is the
 * function that its documentation names, and throws {@link NativeException} when that fails.
 */
public final class CudaStreams {
  private static final String LIBRARY = "the CUDA driver (libcuda)";

  /** Flag of {@link #createStream}: does not wait for the default stream, nor it for this one. */
  public static final int NON_BLOCKING = 1;

  /** Flag of {@link #createEvent}: only orders work, which is cheaper. */
  public static final int DISABLE_TIMING = 2;

  /** Mode of {@link #beginCapture}: this thread may not do what cannot be captured meanwhile. */
  public static final int CAPTURE_THREAD_LOCAL = 1;

  private final MemorySegment streamCreate;
  private final MemorySegment streamDestroy;
  private final MemorySegment streamSynchronize;
  private final MemorySegment streamQuery;
  private final MemorySegment streamWaitEvent;
  private final MemorySegment eventCreate;
  private final MemorySegment eventDestroy;
  private final MemorySegment eventRecord;
  private final MemorySegment eventSynchronize;
  private final MemorySegment eventElapsedTime;
  private final MemorySegment beginCapture;
  private final MemorySegment endCapture;
  private final MemorySegment graphInstantiate;
  private final MemorySegment graphLaunch;
  private final MemorySegment graphDestroy;
  private final MemorySegment graphExecDestroy;

  /**
   * @param symbols the driver's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public CudaStreams(SymbolLookup symbols) {
    streamCreate = Downcalls.find(symbols, LIBRARY, "cuStreamCreate");
    streamDestroy = Downcalls.find(symbols, LIBRARY, "cuStreamDestroy_v2");
    streamSynchronize = Downcalls.find(symbols, LIBRARY, "cuStreamSynchronize");
    streamQuery = Downcalls.find(symbols, LIBRARY, "cuStreamQuery");
    streamWaitEvent = Downcalls.find(symbols, LIBRARY, "cuStreamWaitEvent");
    eventCreate = Downcalls.find(symbols, LIBRARY, "cuEventCreate");
    eventDestroy = Downcalls.find(symbols, LIBRARY, "cuEventDestroy_v2");
    eventRecord = Downcalls.find(symbols, LIBRARY, "cuEventRecord");
    eventSynchronize = Downcalls.find(symbols, LIBRARY, "cuEventSynchronize");
    eventElapsedTime = Downcalls.find(symbols, LIBRARY, "cuEventElapsedTime");
    beginCapture = Downcalls.find(symbols, LIBRARY, "cuStreamBeginCapture_v2");
    endCapture = Downcalls.find(symbols, LIBRARY, "cuStreamEndCapture");
    graphInstantiate = Downcalls.find(symbols, LIBRARY, "cuGraphInstantiateWithFlags");
    graphLaunch = Downcalls.find(symbols, LIBRARY, "cuGraphLaunch");
    graphDestroy = Downcalls.find(symbols, LIBRARY, "cuGraphDestroy");
    graphExecDestroy = Downcalls.find(symbols, LIBRARY, "cuGraphExecDestroy");
  }

  /**
   * {@code cuStreamCreate}.
   *
   * @param flags 0 or {@link #NON_BLOCKING}
   */
  public long createStream(int flags) {
    try (Out out = new Out()) {
      check("cuStreamCreate", call(streamCreate, out.address(), flags));
      return out.asLong();
    }
  }

  /** {@code cuStreamDestroy}: its work still ends. */
  public void destroyStream(long stream) {
    check("cuStreamDestroy_v2", call(streamDestroy, stream));
  }

  /** {@code cuStreamSynchronize}: waits for the stream's work. */
  public void synchronize(long stream) {
    check("cuStreamSynchronize", call(streamSynchronize, stream));
  }

  /** {@code cuStreamQuery}: whether the stream's work is done. */
  public boolean isDone(long stream) {
    int status = call(streamQuery, stream);
    if (status == CudaStatus.NOT_READY) {
      return false;
    }
    check("cuStreamQuery", status);
    return true;
  }

  /** {@code cuStreamWaitEvent}: later work of the stream waits for the event. */
  public void waitFor(long stream, long event) {
    check("cuStreamWaitEvent", call(streamWaitEvent, stream, event, 0));
  }

  /**
   * {@code cuEventCreate}.
   *
   * @param flags 0 or {@link #DISABLE_TIMING}
   */
  public long createEvent(int flags) {
    try (Out out = new Out()) {
      check("cuEventCreate", call(eventCreate, out.address(), flags));
      return out.asLong();
    }
  }

  /** {@code cuEventDestroy}. */
  public void destroyEvent(long event) {
    check("cuEventDestroy_v2", call(eventDestroy, event));
  }

  /** {@code cuEventRecord}: the event happens when the stream's work so far is done. */
  public void record(long event, long stream) {
    check("cuEventRecord", call(eventRecord, event, stream));
  }

  /** {@code cuEventSynchronize}: waits for the event. */
  public void synchronizeEvent(long event) {
    check("cuEventSynchronize", call(eventSynchronize, event));
  }

  /** {@code cuEventElapsedTime}: milliseconds between two events that have happened. */
  public float milliseconds(long start, long end) {
    try (Out out = new Out()) {
      check("cuEventElapsedTime", call(eventElapsedTime, out.address(), start, end));
      return out.asFloat();
    }
  }

  /**
   * {@code cuStreamBeginCapture}: the stream's work is recorded instead of done.
   *
   * @param mode such as {@link #CAPTURE_THREAD_LOCAL}
   */
  public void beginCapture(long stream, int mode) {
    check("cuStreamBeginCapture_v2", call(beginCapture, stream, mode));
  }

  /** {@code cuStreamEndCapture}: the graph of what was recorded. */
  public long endCapture(long stream) {
    try (Out out = new Out()) {
      check("cuStreamEndCapture", call(endCapture, stream, out.address()));
      return out.asLong();
    }
  }

  /** {@code cuGraphInstantiateWithFlags}: a graph that can be launched. */
  public long instantiate(long graph) {
    try (Out out = new Out()) {
      check("cuGraphInstantiateWithFlags", call(graphInstantiate, out.address(), graph, 0L));
      return out.asLong();
    }
  }

  /** {@code cuGraphLaunch}. */
  public void launch(long executable, long stream) {
    check("cuGraphLaunch", call(graphLaunch, executable, stream));
  }

  /** {@code cuGraphDestroy}. */
  public void destroyGraph(long graph) {
    check("cuGraphDestroy", call(graphDestroy, graph));
  }

  /** {@code cuGraphExecDestroy}. */
  public void destroyExecutable(long executable) {
    check("cuGraphExecDestroy", call(graphExecDestroy, executable));
  }
}
