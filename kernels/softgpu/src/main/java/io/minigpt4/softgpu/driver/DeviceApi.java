package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.softgpu.driver.State.Context;
import io.minigpt4.softgpu.driver.State.Device;
import java.lang.foreign.Arena;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Initialisation, devices, contexts and error names of the CUDA driver API. */
final class DeviceApi {
  private static final int DRIVER_VERSION = 12080;
  private final State state;
  private final Arena arena;
  private final Map<String, Long> strings = new ConcurrentHashMap<>();

  DeviceApi(State state, Arena arena) {
    this.state = state;
    this.arena = arena;
  }

  public int cuInit(int flags) {
    if (flags != 0) {
      return Status.INVALID_VALUE;
    }
    state.initialised = true;
    return Status.SUCCESS;
  }

  public int cuDriverGetVersion(long version) {
    Native.putInt(version, DRIVER_VERSION);
    return Status.SUCCESS;
  }

  public int cuDeviceGetCount(long count) {
    if (!state.initialised) {
      return Status.NOT_INITIALIZED;
    }
    Native.putInt(count, state.devices.size());
    return Status.SUCCESS;
  }

  public int cuDeviceGet(long device, int ordinal) {
    Native.putInt(device, state.device(ordinal).ordinal);
    return Status.SUCCESS;
  }

  public int cuDeviceGetName(long name, int room, int device) {
    state.device(device);
    Native.putString(name, "Software GPU " + device, room);
    return Status.SUCCESS;
  }

  public int cuDeviceGetUuid_v2(long uuid, int device) {
    state.device(device);
    Native.putLong(uuid, 0x55504774666F53L);
    Native.putLong(uuid + 8, device);
    return Status.SUCCESS;
  }

  public int cuDeviceTotalMem_v2(long bytes, int device) {
    Native.putLong(bytes, state.device(device).gpu.options().memoryBytes());
    return Status.SUCCESS;
  }

  public int cuDeviceGetAttribute(long value, int attribute, int device) {
    SoftGpuOptions o = state.device(device).gpu.options();
    Native.putInt(value, Attributes.of(attribute, o));
    return Status.SUCCESS;
  }

  public int cuDevicePrimaryCtxRetain(long context, int device) {
    Device d = state.device(device);
    synchronized (d) {
      d.references++;
    }
    Native.putLong(context, state.handle(state.context(d)));
    return Status.SUCCESS;
  }

  public int cuDevicePrimaryCtxRelease_v2(int device) {
    Device d = state.device(device);
    synchronized (d) {
      if (d.references == 0) {
        return Status.INVALID_CONTEXT;
      }
      d.references--;
      if (d.references == 0) {
        forget(d);
      }
    }
    return Status.SUCCESS;
  }

  public int cuDevicePrimaryCtxReset_v2(int device) {
    forget(state.device(device));
    return Status.SUCCESS;
  }

  /** A context's end frees its memory and with it the error that spoilt it. */
  private static void forget(Device d) {
    d.spoilt = 0;
    SoftGpu gpu = d.gpu;
    gpu.memory().close();
  }

  public int cuCtxSetCurrent(long context) {
    state.makeCurrent(context == 0 ? null : state.get(context, Context.class));
    return Status.SUCCESS;
  }

  public int cuCtxGetCurrent(long context) {
    Context c = state.currentOrNull();
    Native.putLong(context, c == null ? 0 : state.handle(c));
    return Status.SUCCESS;
  }

  public int cuCtxGetDevice(long device) {
    Native.putInt(device, state.current().ordinal);
    return Status.SUCCESS;
  }

  public int cuCtxSynchronize() {
    state.current();
    return Status.SUCCESS;
  }

  public int cuGetErrorName(int code, long text) {
    return name(code, text, Status.name(code));
  }

  public int cuGetErrorString(int code, long text) {
    return name(
        code, text, Status.name(code).replaceFirst("^CUDA_(ERROR_)?", "").replace('_', ' '));
  }

  private int name(int code, long text, String name) {
    if (!Status.isKnown(code)) {
      Native.putLong(text, 0);
      return Status.INVALID_VALUE;
    }
    Native.putLong(text, strings.computeIfAbsent(name, n -> arena.allocateFrom(n).address()));
    return Status.SUCCESS;
  }
}
