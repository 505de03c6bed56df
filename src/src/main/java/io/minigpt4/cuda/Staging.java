package io.minigpt4.cuda;

import io.minigpt4.nativelib.CudaDriver;
import io.minigpt4.nativelib.CudaStreams;
import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.stream.IntStream;

/**
 * Carries data between host and device through two pinned buffers: while the device copies one, the
 * processor fills the other. Filling is divided among threads, since a single one neither reads a
 * mapped file nor converts types as fast as the bus copies.
 */
final class Staging {
  private static final int BUFFER = 16 << 20;
  private static final int SLICE = 1 << 20;
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final short INFINITY = 0x7C00;

  /** Stands for the threads that help: memory may belong to the calling thread alone. */
  private static final Thread HELPER = new Thread(() -> {});

  private final CudaDevice device;
  private final CudaDriver driver;
  private final CudaStreams streams;
  private final Buffer[] buffers;
  private int next;

  /** A pinned buffer and the event that happens when the device has read it. */
  private static final class Buffer {
    final MemorySegment memory;
    final long event;

    Buffer(MemorySegment memory, long event) {
      this.memory = memory;
      this.event = event;
    }
  }

  Staging(CudaDevice device) {
    this.device = device;
    this.driver = device.libraries().driver();
    this.streams = device.libraries().streams();
    device.enter();
    buffers = new Buffer[] {buffer(), buffer()};
  }

  private Buffer buffer() {
    long event = streams.createEvent(CudaStreams.DISABLE_TIMING);
    streams.record(event, device.stream());
    return new Buffer(device.allocatePinned(BUFFER), event);
  }

  /** The buffer whose turn it is, once the device is done with it. */
  private Buffer acquire() {
    Buffer buffer = buffers[next];
    next ^= 1;
    streams.synchronizeEvent(buffer.event);
    return buffer;
  }

  /** Copies host memory, mapped or not. Returns before the device has it. */
  void upload(MemorySegment from, long to) {
    for (long at = 0; at < from.byteSize(); at += BUFFER) {
      long length = Math.min(BUFFER, from.byteSize() - at);
      Buffer buffer = acquire();
      MemorySegment part = from.asSlice(at, length);
      slices(
          part,
          length,
          1,
          (start, count) -> MemorySegment.copy(part, start, buffer.memory, start, count));
      send(buffer, length, to + at);
    }
  }

  /**
   * Converts elements and copies them. Returns before the device has them.
   *
   * @param source type of the elements in host memory: F32, F16 or BF16
   * @param target type that they are to have: F32, F16 or BF16
   * @return false if a finite number became infinite in {@code target}
   */
  boolean convert(MemorySegment from, DType source, DType target, long elements, long to) {
    boolean[] fits = {true};
    int step = BUFFER / target.bytes();
    for (long at = 0; at < elements; at += step) {
      int count = (int) Math.min(step, elements - at);
      Buffer buffer = acquire();
      MemorySegment part = from.asSlice(at * source.bytes(), (long) count * source.bytes());
      slices(
          part,
          count,
          target.bytes(),
          (start, n) -> {
            if (!convert(part, source, buffer.memory, target, start, n)) {
              fits[0] = false;
            }
          });
      send(buffer, (long) count * target.bytes(), to + at * target.bytes());
    }
    return fits[0];
  }

  private void send(Buffer buffer, long length, long to) {
    driver.copyToDevice(to, buffer.memory.asSlice(0, length), device.stream());
    streams.record(buffer.event, device.stream());
  }

  private interface Slice {
    void run(long start, long count);
  }

  /** Divides items of host memory among threads, where that is allowed and pays. */
  private static void slices(MemorySegment host, long items, int bytes, Slice work) {
    int step = SLICE / bytes;
    int slices = (int) ((items + step - 1) / step);
    IntStream range = IntStream.range(0, slices);
    (slices > 1 && host.isAccessibleBy(HELPER) ? range.parallel() : range)
        .forEach(i -> work.run((long) i * step, Math.min(step, items - (long) i * step)));
  }

  private static boolean convert(
      MemorySegment from, DType source, MemorySegment to, DType target, long start, long count) {
    boolean fits = true;
    for (long i = start; i < start + count; i++) {
      float value = get(from, source, i);
      if (target == DType.F32) {
        to.set(FLOAT, 4 * i, value);
      } else if (target == DType.F16) {
        short half = Float.floatToFloat16(value);
        fits &= (half & 0x7FFF) != INFINITY || Float.isInfinite(value);
        to.set(SHORT, 2 * i, half);
      } else {
        to.set(SHORT, 2 * i, toBrain(value));
      }
    }
    return fits;
  }

  private static float get(MemorySegment from, DType type, long i) {
    return switch (type) {
      case F32 -> from.get(FLOAT, 4 * i);
      case F16 -> Float.float16ToFloat(from.get(SHORT, 2 * i));
      case BF16 -> Float.intBitsToFloat(from.get(SHORT, 2 * i) << 16);
      default -> throw new IllegalArgumentException("cannot convert " + type);
    };
  }

  /** Rounds to the nearest bfloat16, ties to even. */
  private static short toBrain(float value) {
    int bits = Float.floatToRawIntBits(value);
    return Float.isNaN(value)
        ? (short) (bits >>> 16 | 0x40)
        : (short) ((bits + 0x7FFF + (bits >>> 16 & 1)) >>> 16);
  }

  /** Waits for the device, then copies elements to host memory as floats. */
  void read(long from, DType type, long elements, MemorySegment to) {
    int step = BUFFER / type.bytes();
    for (long at = 0; at < elements; at += step) {
      int count = (int) Math.min(step, elements - at);
      Buffer buffer = acquire();
      MemorySegment part = buffer.memory.asSlice(0, (long) count * type.bytes());
      driver.copyToHost(part, from + at * type.bytes(), device.stream());
      device.synchronize();
      MemorySegment target = to.asSlice(4 * at, 4L * count);
      if (type == DType.F32) {
        MemorySegment.copy(part, 0, target, 0, part.byteSize());
      } else {
        slices(target, count, 4, (start, n) -> convert(part, type, target, DType.F32, start, n));
      }
    }
  }

  /** Frees the events; the memory belongs to the device. */
  void close() {
    for (Buffer buffer : buffers) {
      streams.destroyEvent(buffer.event);
    }
  }
}
