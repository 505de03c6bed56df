package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.GpuFunction;
import io.minigpt4.softgpu.SoftGpuOptions;

/** Values of CUdevice_attribute: those of an A100 where nothing else is said. */
final class Attributes {
  private Attributes() {}

  static int of(int attribute, SoftGpuOptions o) {
    return switch (attribute) {
      case 1, 2, 3 -> attribute == 3 ? 64 : 1024; // threads of a block, and of its x, y, z
      case 4 -> 64; // block z
      case 5 -> Integer.MAX_VALUE; // grid x
      case 6, 7 -> 65535; // grid y, z
      case 8 -> GpuFunction.DEFAULT_SHARED;
      case 9 -> 64 * 1024; // constant memory
      case 10 -> 32; // warp
      case 12, 82 -> 65536; // registers of a block, of a multiprocessor
      case 13, 36 -> attribute == 13 ? 1_410_000 : 1_215_000; // clocks in kHz: core, memory
      case 16 -> o.workers(); // multiprocessors
      case 37 -> 5120; // memory bus in bits
      case 38 -> 40 << 20; // L2 cache
      case 39 -> 2048; // threads of a multiprocessor
      case 40, 41, 31 -> 1; // asynchronous engines, unified addressing, concurrent kernels
      case 75 -> o.computeMajor();
      case 76 -> o.computeMinor();
      case 81 -> 164 * 1024; // shared memory of a multiprocessor
      case 97 -> GpuFunction.LARGEST_SHARED; // shared memory of a block on demand
      case 106 -> 32; // blocks of a multiprocessor
      case 115 -> 1; // memory pools
      default -> 0;
    };
  }
}
