package io.minigpt4.softgpu;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/** A software GPU with a test module, and short ways to move arrays. */
final class Device implements AutoCloseable {
  final SoftGpu gpu;
  final GpuModule module;

  Device(String module) {
    this(module, SoftGpuOptions.defaults());
  }

  Device(String module, SoftGpuOptions options) {
    this.gpu = SoftGpu.create(options);
    this.module = gpu.loadModule(ptx(module));
  }

  static String ptx(String name) {
    try (InputStream in = Device.class.getResourceAsStream(name + ".ptx")) {
      return new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private long put(MemorySegment values) {
    long a = gpu.alloc(values.byteSize());
    gpu.copyToDevice(a, values);
    return a;
  }

  long put(int... values) {
    return put(MemorySegment.ofArray(values));
  }

  long put(long... values) {
    return put(MemorySegment.ofArray(values));
  }

  long put(float... values) {
    return put(MemorySegment.ofArray(values));
  }

  long put(short... values) {
    return put(MemorySegment.ofArray(values));
  }

  int[] ints(long address, int n) {
    int[] out = new int[n];
    gpu.copyFromDevice(MemorySegment.ofArray(out), address);
    return out;
  }

  long[] longs(long address, int n) {
    long[] out = new long[n];
    gpu.copyFromDevice(MemorySegment.ofArray(out), address);
    return out;
  }

  float[] floats(long address, int n) {
    float[] out = new float[n];
    gpu.copyFromDevice(MemorySegment.ofArray(out), address);
    return out;
  }

  void launch(String kernel, int grid, int block, Object... args) {
    gpu.launch(module.function(kernel), Dim3.of(grid), Dim3.of(block), 0, args);
  }

  @Override
  public void close() {
    gpu.close();
  }
}
