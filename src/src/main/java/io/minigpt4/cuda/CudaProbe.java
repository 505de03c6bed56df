package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/** What a GPU does at best: copies and a large matrix product, timed by its own clock. */
public final class CudaProbe {
  private static final int ROUNDS = 5;

  /** Random numbers, over and over in the matrices. */
  private static final long RANDOM_BYTES = 1 << 20;

  private CudaProbe() {}

  /**
   * Rates.
   *
   * @param copy bytes read and written a second by copying within device memory
   * @param toDevice bytes a second from pinned host memory
   * @param toHost bytes a second to pinned host memory
   * @param product FLOP a second of a float16 matrix product
   */
  public record Rates(double copy, double toDevice, double toHost, double product) {}

  /**
   * Measures; the best of several rounds counts.
   *
   * @param bytes that are copied
   * @param side of the square matrices that are multiplied
   */
  public static Rates measure(CudaLibraries libraries, int ordinal, long bytes, int side) {
    try (CudaDevice device = CudaDevice.open(libraries, ordinal)) {
      CudaDriver driver = libraries.driver();
      MemorySegment from = device.allocate(bytes);
      MemorySegment to = device.allocate(bytes);
      MemorySegment host = device.allocatePinned(bytes);
      driver.fill(from.address(), (byte) 0, bytes, device.stream());
      double copy =
          best(
              device,
              () -> driver.copyOnDevice(to.address(), from.address(), bytes, device.stream()));
      double toDevice =
          best(device, () -> driver.copyToDevice(from.address(), host, device.stream()));
      double toHost = best(device, () -> driver.copyToHost(host, from.address(), device.stream()));
      return new Rates(2 * bytes / copy, bytes / toDevice, bytes / toHost, product(device, side));
    }
  }

  private static double product(CudaDevice device, int side) {
    long bytes = 2L * side * side;
    MemorySegment x = device.allocate(bytes);
    MemorySegment weight = device.allocate(bytes);
    MemorySegment out = device.allocate(bytes);
    fillRandomly(device, x, weight);
    Products products = new Products(device);
    double seconds =
        best(
            device,
            () ->
                products.multiply(
                    x.address(),
                    side,
                    weight.address(),
                    0,
                    out.address(),
                    side,
                    DType.F16,
                    side,
                    side,
                    side));
    products.close();
    return 2.0 * side * side * side / seconds;
  }

  /**
   * Fills matrices with float16 between −1 and 1: operands that are all alike draw less power, so
   * that clocks and rates go higher than with a model's.
   */
  private static void fillRandomly(CudaDevice device, MemorySegment... matrices) {
    SplittableRandom random = new SplittableRandom(1);
    MemorySegment host = device.allocatePinned(RANDOM_BYTES);
    for (long i = 0; i < RANDOM_BYTES / Short.BYTES; i++) {
      short value = Float.floatToFloat16((float) random.nextDouble(-1, 1));
      host.setAtIndex(ValueLayout.JAVA_SHORT, i, value);
    }
    for (MemorySegment matrix : matrices) {
      for (long at = 0; at < matrix.byteSize(); at += RANDOM_BYTES) {
        MemorySegment part = host.asSlice(0, Math.min(RANDOM_BYTES, matrix.byteSize() - at));
        device.libraries().driver().copyToDevice(matrix.address() + at, part, device.stream());
      }
    }
  }

  /** Seconds of the fastest round, after one that does not count. */
  private static double best(CudaDevice device, Runnable work) {
    CudaStreams streams = device.libraries().streams();
    long start = streams.createEvent(0);
    long end = streams.createEvent(0);
    double best = Double.POSITIVE_INFINITY;
    for (int i = 0; i <= ROUNDS; i++) {
      streams.record(start, device.stream());
      work.run();
      streams.record(end, device.stream());
      streams.synchronizeEvent(end);
      if (i > 0) {
        best = Math.min(best, streams.milliseconds(start, end) / 1e3);
      }
    }
    streams.destroyEvent(start);
    streams.destroyEvent(end);
    return best;
  }
}
