package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;

/** What a GPU does at best: copies and a large matrix product, timed by its own clock. */
public final class CudaProbe {
  private static final int ROUNDS = 5;

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
    for (MemorySegment m : new MemorySegment[] {x, weight}) {
      device.libraries().driver().fill(m.address(), (byte) 0x11, bytes, device.stream());
    }
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
