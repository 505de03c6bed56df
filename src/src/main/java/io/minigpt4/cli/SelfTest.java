package io.minigpt4.cli;

import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Every operation of a device against the same on the processor, over a ladder of shapes: the
 * largest difference, and how long it takes beside what moving its bytes and computing its FLOP
 * would take at least.
 */
final class SelfTest {
  /** Of the largest value: float16 has eleven bits, and operations are up to a few roundings. */
  static final double LIMIT = 1e-2;

  private static final long LEAST_NANOS = 2_000_000;
  private static final int MOST_CALLS = 200;

  private final Ops reference;
  private final Ops device;
  private final double bytesPerSecond;
  private final double flopsPerSecond;
  private final List<Result> results = new ArrayList<>();
  private final Consumer<Result> listener;
  private final SelfTestTensors tensors = new SelfTestTensors();

  /**
   * What came out of one operation and shape.
   *
   * @param error the largest difference, as a part of the largest value
   * @param micros time of a call
   * @param share of what the device can do at best, by bytes or by FLOP, whichever takes longer
   */
  record Result(String operation, String shape, double error, double micros, double share) {
    boolean passed() {
      return error <= LIMIT;
    }
  }

  /**
   * An operation on one device's tensors, ready to be called.
   *
   * @param out its result
   * @param end brings the result to {@code out} where {@code run} leaves it elsewhere
   */
  record Call(Tensor out, Runnable run, Runnable end) {
    Call(Tensor out, Runnable run) {
      this(out, run, () -> {});
    }
  }

  /** Makes the same call on any device. */
  interface Maker {
    Call on(Ops ops);
  }

  /**
   * @param bytesPerSecond what the device moves at best
   * @param flopsPerSecond what it computes at best
   * @param listener hears of each result
   */
  SelfTest(
      Ops reference,
      Ops device,
      double bytesPerSecond,
      double flopsPerSecond,
      Consumer<Result> listener) {
    this.reference = reference;
    this.device = device;
    this.bytesPerSecond = bytesPerSecond;
    this.flopsPerSecond = flopsPerSecond;
    this.listener = listener;
  }

  /** What operations are tried on. */
  SelfTestTensors tensors() {
    return tensors;
  }

  /**
   * Runs it.
   *
   * @param large whether shapes of the published models are tried too
   */
  List<Result> run(boolean large) {
    ForwardSelfTest forward = new ForwardSelfTest(this);
    BackwardSelfTest backward = new BackwardSelfTest(this);
    forward.small();
    backward.run(13, 96, 40, 2, 16);
    backward.attention(5, 1, 64);
    backward.attention(9, 1, 128);
    if (large) {
      forward.large();
      backward.run(512, 5120, 32000, 40, 128);
    }
    return List.copyOf(results);
  }

  void compare(String name, String shape, long bytes, long flops, Maker maker) {
    Call expected = maker.on(reference);
    Call actual = maker.on(device);
    expected.run.run();
    expected.end.run();
    actual.run.run();
    actual.end.run();
    double error = difference(read(device, actual.out), read(reference, expected.out));
    double seconds = time(actual);
    double least = Math.max(bytes / bytesPerSecond, flops / flopsPerSecond);
    Result result = new Result(name, shape, error, seconds * 1e6, least / seconds);
    results.add(result);
    listener.accept(result);
  }

  /** Seconds of a call, of so many that waiting for the last hardly counts. */
  private double time(Call call) {
    int calls = 1;
    while (true) {
      long start = System.nanoTime();
      for (int i = 0; i < calls; i++) {
        call.run.run();
      }
      read(device, first(call.out));
      long nanos = System.nanoTime() - start;
      if (nanos >= LEAST_NANOS || calls >= MOST_CALLS) {
        return nanos / 1e9 / calls;
      }
      calls *= 4;
    }
  }

  private static Tensor first(Tensor tensor) {
    return tensor.slice(0, 1);
  }

  private static double difference(float[] actual, float[] expected) {
    double largest = 0;
    double difference = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = Math.abs((double) actual[i] - expected[i]);
      difference = Double.isNaN(d) ? Double.POSITIVE_INFINITY : Math.max(difference, d);
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    return largest == 0 ? difference : difference / largest;
  }

  static float[] read(Ops ops, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      ops.read(tensor, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }
}
