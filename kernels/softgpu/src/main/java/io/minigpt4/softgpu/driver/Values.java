package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.SoftGpu;
import io.minigpt4.softgpu.isa.HalfOps;
import io.minigpt4.softgpu.run.Allocation;
import io.minigpt4.softgpu.run.Raw;
import org.jspecify.annotations.Nullable;

/** Elements in device memory that the libraries' own operations read and write, with its checks. */
enum Values {
  F32(4),
  F16(2),
  BF16(2);

  private final int bytes;

  Values(int bytes) {
    this.bytes = bytes;
  }

  int bytes() {
    return bytes;
  }

  float get(long at) {
    return switch (this) {
      case F32 -> Float.intBitsToFloat(Raw.b32(at));
      case F16 -> HalfOps.f16ToFloat(Raw.u16(at));
      case BF16 -> HalfOps.bf16ToFloat(Raw.u16(at));
    };
  }

  void put(long at, float v) {
    switch (this) {
      case F32 -> Raw.put32(at, Float.floatToRawIntBits(v));
      case F16 -> Raw.put16(at, HalfOps.floatToF16(v));
      case BF16 -> Raw.put16(at, HalfOps.floatToBf16(v));
    }
  }

  /**
   * The allocation that holds a range.
   *
   * @param what names call and argument in messages
   * @throws Status if the range is not inside one allocation, or not aligned
   */
  static Allocation inside(SoftGpu gpu, String what, long address, long size, int alignment) {
    @Nullable Allocation m = gpu.memory().find(address);
    if (m == null || address + size > m.base() + m.size()) {
      throw new Status(
          Status.ILLEGAL_ADDRESS,
          "%s, %d bytes at 0x%x, is not inside %s"
              .formatted(what, size, address, m == null ? "an allocation" : m));
    }
    if (address % alignment != 0) {
      throw new Status(Status.MISALIGNED_ADDRESS, "%s at 0x%x".formatted(what, address));
    }
    return m;
  }

  /** Where the device checks that: whether all of a range has been written. */
  static void written(SoftGpu gpu, String what, Allocation m, long address, long size) {
    if (gpu.checks().initialised() && !m.isWritten(address, size)) {
      throw new Status(
          Status.LAUNCH_FAILED, "%s reads memory that nothing wrote, in %s".formatted(what, m));
    }
  }
}
