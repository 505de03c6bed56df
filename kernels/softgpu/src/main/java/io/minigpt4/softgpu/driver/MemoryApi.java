package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.driver.State.Device;
import io.minigpt4.softgpu.driver.State.Stream;
import io.minigpt4.softgpu.run.Allocation;
import io.minigpt4.softgpu.run.DeviceMemory;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;

/** Memory of the CUDA driver API: device, pinned, pools, copies, fills. */
final class MemoryApi {
  private final State state;
  private final LongAdder toDevice = new LongAdder();
  private final LongAdder toHost = new LongAdder();

  /** The default pool of a device. */
  private record Pool(Device device) {}

  MemoryApi(State state) {
    this.state = state;
  }

  /** Bytes that were copied from the host so far. */
  long bytesToDevice() {
    return toDevice.sum();
  }

  /** Bytes that were copied to the host so far. */
  long bytesToHost() {
    return toHost.sum();
  }

  public int cuMemGetInfo_v2(long free, long total) {
    DeviceMemory m = state.current().gpu.memory();
    Native.putLong(free, m.free());
    Native.putLong(total, m.capacity());
    return Status.SUCCESS;
  }

  public int cuMemAlloc_v2(long address, long bytes) {
    return allocate(address, bytes, Allocation.Kind.DEVICE);
  }

  private int allocate(long out, long bytes, Allocation.Kind kind) {
    DeviceMemory m = state.current().gpu.memory();
    if (bytes <= 0) {
      return Status.INVALID_VALUE;
    }
    Allocation a =
        m.allocate(bytes, kind, kind == Allocation.Kind.HOST ? "pinned memory" : "allocation");
    if (a == null) {
      throw new Status(
          Status.OUT_OF_MEMORY, "%d bytes asked for, %d free".formatted(bytes, m.free()));
    }
    if (kind == Allocation.Kind.HOST) {
      a.markWritten(a.base(), bytes);
    }
    Native.putLong(out, a.base());
    return Status.SUCCESS;
  }

  public int cuMemFree_v2(long address) {
    return free(state.current(), address);
  }

  private static int free(Device d, long address) {
    if (address == 0) {
      return Status.SUCCESS;
    }
    if (!d.gpu.memory().free(address)) {
      throw new Status(Status.INVALID_VALUE, "no allocation starts at 0x%x".formatted(address));
    }
    return Status.SUCCESS;
  }

  public int cuMemAllocAsync(long address, long bytes, long stream) {
    if (state.stream(stream).capture != null) {
      throw new Status(Status.CAPTURE_UNSUPPORTED, "allocations are not captured");
    }
    return allocate(address, bytes, Allocation.Kind.DEVICE);
  }

  public int cuMemFreeAsync(long address, long stream) {
    Stream s = state.stream(stream);
    if (s.capture != null) {
      throw new Status(Status.CAPTURE_UNSUPPORTED, "frees are not captured");
    }
    return free(s.device, address);
  }

  public int cuDeviceGetDefaultMemPool(long pool, int device) {
    Native.putLong(pool, state.handle(new Pool(state.device(device))));
    return Status.SUCCESS;
  }

  public int cuMemPoolSetAttribute(long pool, int attribute, long value) {
    state.get(pool, Pool.class);
    Native.getInt(value);
    return attribute >= 1 && attribute <= 8 ? Status.SUCCESS : Status.INVALID_VALUE;
  }

  public int cuMemPoolGetAttribute(long pool, int attribute, long value) {
    DeviceMemory m = state.get(pool, Pool.class).device().gpu.memory();
    Native.putLong(value, attribute >= 5 && attribute <= 8 ? m.capacity() - m.free() : 0);
    return Status.SUCCESS;
  }

  public int cuMemPoolTrimTo(long pool, long bytes) {
    state.get(pool, Pool.class);
    return Status.SUCCESS;
  }

  public int cuMemHostAlloc(long address, long bytes, int flags) {
    return allocate(address, bytes, Allocation.Kind.HOST);
  }

  public int cuMemAllocHost_v2(long address, long bytes) {
    return allocate(address, bytes, Allocation.Kind.HOST);
  }

  public int cuMemFreeHost(long address) {
    return free(state.current(), address);
  }

  public int cuMemHostRegister_v2(long address, long bytes, int flags) {
    state.current().gpu.memory().register(address, bytes);
    return Status.SUCCESS;
  }

  public int cuMemHostUnregister(long address) {
    return free(state.current(), address);
  }

  public int cuMemcpyHtoD_v2(long to, long from, long bytes) {
    return cuMemcpyHtoDAsync_v2(to, from, bytes, 0);
  }

  public int cuMemcpyHtoDAsync_v2(long to, long from, long bytes, long stream) {
    Stream s = state.stream(stream);
    inside(s, to, bytes);
    state.enqueue(
        s,
        () -> {
          s.device.gpu.copyToDevice(to, Native.at(from, bytes));
          toDevice.add(bytes);
        });
    return Status.SUCCESS;
  }

  public int cuMemcpyDtoH_v2(long to, long from, long bytes) {
    return cuMemcpyDtoHAsync_v2(to, from, bytes, 0);
  }

  public int cuMemcpyDtoHAsync_v2(long to, long from, long bytes, long stream) {
    Stream s = state.stream(stream);
    inside(s, from, bytes);
    state.enqueue(
        s,
        () -> {
          s.device.gpu.copyFromDevice(Native.at(to, bytes), from);
          toHost.add(bytes);
        });
    return Status.SUCCESS;
  }

  public int cuMemcpyDtoD_v2(long to, long from, long bytes) {
    return cuMemcpyDtoDAsync_v2(to, from, bytes, 0);
  }

  /** Also between devices: all share one address space. */
  public int cuMemcpyDtoDAsync_v2(long to, long from, long bytes, long stream) {
    Stream s = state.stream(stream);
    SoftGpu source = owner(from, bytes);
    SoftGpu target = owner(to, bytes);
    state.enqueue(s, () -> SoftGpu.copy(target, to, source, from, bytes));
    return Status.SUCCESS;
  }

  public int cuMemcpyPeerAsync(
      long to, long toContext, long from, long fromContext, long bytes, long stream) {
    state.get(toContext, State.Context.class);
    state.get(fromContext, State.Context.class);
    return cuMemcpyDtoDAsync_v2(to, from, bytes, stream);
  }

  public int cuMemsetD8Async(long to, byte value, long count, long stream) {
    Stream s = state.stream(stream);
    inside(s, to, count);
    state.enqueue(s, () -> s.device.gpu.memset(to, value, count));
    return Status.SUCCESS;
  }

  public int cuMemsetD32Async(long to, int value, long count, long stream) {
    Stream s = state.stream(stream);
    inside(s, to, count * 4);
    if ((to & 3) != 0) {
      return Status.INVALID_VALUE;
    }
    state.enqueue(s, () -> s.device.gpu.fill32(to, value, count));
    return Status.SUCCESS;
  }

  private static void inside(Stream s, long address, long bytes) {
    if (bytes < 0 || !holds(s.device.gpu, address, bytes)) {
      throw new Status(
          Status.INVALID_VALUE,
          "%d bytes at 0x%x are not inside one allocation".formatted(bytes, address));
    }
  }

  private static boolean holds(SoftGpu gpu, long address, long bytes) {
    @Nullable Allocation a = gpu.memory().find(address);
    return a != null && address + bytes <= a.base() + a.size();
  }

  private SoftGpu owner(long address, long bytes) {
    for (Device d : state.devices) {
      if (holds(d.gpu, address, bytes)) {
        return d.gpu;
      }
    }
    throw new Status(
        Status.INVALID_VALUE,
        "%d bytes at 0x%x are not inside one allocation".formatted(bytes, address));
  }
}
