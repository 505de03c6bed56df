package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.WeakHashMap;
import org.jspecify.annotations.Nullable;

/** What the driver's functions share: devices, contexts, handles. */
final class State {
  private static final long FIRST_HANDLE = 0x50F7_0000_0000L;

  /** A device, the users of its primary context and the error that spoilt it. */
  static final class Device {
    final int ordinal;
    final SoftGpu gpu;
    int references;
    int spoilt;

    Device(int ordinal, SoftGpu gpu) {
      this.ordinal = ordinal;
      this.gpu = gpu;
    }
  }

  /** The primary context of a device. */
  record Context(Device device) {}

  /** Operations that a stream recorded. */
  static final class Capture {
    final List<Runnable> operations = new ArrayList<>();
    final Stream origin;

    Capture(Stream origin) {
      this.origin = origin;
    }
  }

  /** A stream; work runs at once, or is recorded. */
  static final class Stream {
    final Device device;
    @Nullable Capture capture;

    Stream(Device device) {
      this.device = device;
    }
  }

  final List<Device> devices = new ArrayList<>();
  private final Map<Long, Object> handles = new HashMap<>();
  private final Map<Object, Long> numbers = new HashMap<>();
  private final Map<Device, Stream> defaultStreams = new HashMap<>();
  private final Map<Thread, Context> current = Collections.synchronizedMap(new WeakHashMap<>());
  private final List<Context> contexts = new ArrayList<>();
  private long nextHandle = FIRST_HANDLE;
  volatile boolean initialised;

  State(List<SoftGpu> gpus) {
    for (SoftGpu g : gpus) {
      Device d = new Device(devices.size(), g);
      devices.add(d);
      contexts.add(new Context(d));
      defaultStreams.put(d, new Stream(d));
    }
  }

  synchronized long handle(Object o) {
    Long known = numbers.get(o);
    if (known != null) {
      return known;
    }
    nextHandle += 16;
    handles.put(nextHandle, o);
    numbers.put(o, nextHandle);
    return nextHandle;
  }

  synchronized <T> T get(long handle, Class<T> type) {
    Object o = handles.get(handle);
    if (!type.isInstance(o)) {
      throw new Status(
          Status.INVALID_HANDLE, "0x%x is no %s".formatted(handle, type.getSimpleName()));
    }
    return type.cast(o);
  }

  synchronized <T> T remove(long handle, Class<T> type) {
    T o = get(handle, type);
    handles.remove(handle);
    numbers.remove(o);
    return o;
  }

  Device device(int ordinal) {
    if (!initialised) {
      throw new Status(Status.NOT_INITIALIZED, "cuInit has not been called");
    }
    if (ordinal < 0 || ordinal >= devices.size()) {
      throw new Status(Status.INVALID_DEVICE, "no device " + ordinal);
    }
    return devices.get(ordinal);
  }

  Context context(Device d) {
    return contexts.get(d.ordinal);
  }

  void makeCurrent(@Nullable Context c) {
    if (c == null) {
      current.remove(Thread.currentThread());
    } else {
      current.put(Thread.currentThread(), c);
    }
  }

  @Nullable Context currentOrNull() {
    return current.get(Thread.currentThread());
  }

  /** The current context's device, unless an error has spoilt it. */
  Device current() {
    Context c = current.get(Thread.currentThread());
    if (c == null || c.device().references == 0) {
      throw new Status(Status.INVALID_CONTEXT, "no context is current in this thread");
    }
    if (c.device().spoilt != 0) {
      throw new Status(
          c.device().spoilt, "an earlier error spoilt the context of device " + c.device().ordinal);
    }
    return c.device();
  }

  /** 0, 1 and 2 are the default streams. */
  Stream stream(long handle) {
    Device d = current();
    if (handle >= 0 && handle <= 2) {
      Stream s = defaultStreams.get(d);
      if (s == null) {
        throw new IllegalStateException("device without a default stream");
      }
      return s;
    }
    return get(handle, Stream.class);
  }

  /** All streams of a capture go back to running. */
  synchronized void endCapture(Capture c) {
    for (Object o : handles.values()) {
      if (o instanceof Stream s && s.capture == c) {
        s.capture = null;
      }
    }
  }

  /** Runs an operation, or records it where the stream is capturing. */
  void enqueue(Stream s, Runnable operation) {
    Capture c = s.capture;
    if (c != null) {
      c.operations.add(operation);
    } else {
      operation.run();
    }
  }
}
