package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaStreams;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;

/**
 * Steps that were captured as CUDA graphs. A step is first run as it is, which loads its kernels
 * and chooses its algorithms, things that cannot be captured; the second time it is captured.
 */
final class Graphs {
  private final CudaDevice device;
  private final CudaStreams streams;
  private final IdentityHashMap<Object, Long> executables = new IdentityHashMap<>();
  private final Set<Object> warm = Collections.newSetFromMap(new IdentityHashMap<>());
  private final StepInputs inputs;

  /**
   * @param inputs sent at the beginning of every step
   */
  Graphs(CudaDevice device, StepInputs inputs) {
    this.device = device;
    this.inputs = inputs;
    this.streams = device.libraries().streams();
  }

  /** How many steps are captured. */
  int size() {
    return executables.size();
  }

  /** Runs a step in the fastest way that it can be run by now. */
  void run(Object key, Runnable step) {
    Long executable = executables.get(key);
    if (executable == null) {
      if (warm.add(key)) {
        inputs.copy();
        step.run();
        return;
      }
      executable = capture(step);
      executables.put(key, executable);
    }
    streams.launch(executable, device.stream());
  }

  private long capture(Runnable step) {
    streams.beginCapture(device.stream(), CudaStreams.CAPTURE_THREAD_LOCAL);
    boolean whole = false;
    long graph = 0;
    try {
      inputs.copy();
      step.run();
      whole = true;
    } finally {
      // An exception leaves the stream capturing otherwise, and all that follows would fail.
      graph = streams.endCapture(device.stream());
      if (!whole) {
        streams.destroyGraph(graph);
      }
    }
    try {
      return streams.instantiate(graph);
    } finally {
      streams.destroyGraph(graph);
    }
  }

  /** Forgets all, as addresses have changed. */
  void clear() {
    executables.values().forEach(streams::destroyExecutable);
    executables.clear();
  }
}
