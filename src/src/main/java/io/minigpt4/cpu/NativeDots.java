package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.kernels.Element;
import io.minigpt4.tensor.DType;

/** {@link DotKernels} by native code. */
final class NativeDots implements DotKernels {
  private final CpuLibrary library;

  NativeDots(CpuLibrary library) {
    this.library = library;
  }

  static Element element(DType type) {
    return switch (type) {
      case F32 -> Element.F32;
      case F16 -> Element.F16;
      case BF16 -> Element.BF16;
      default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
    };
  }

  @Override
  public void dots(
      DType type, Rows x, int m, long w, int n, int k, long out, long outStride, float[] scratch) {
    library.dots(element(type), x.address(), m, w, (long) k * type.bytes(), n, k, out, outStride);
  }

  @Override
  public void arrange(DType type, long x, long xStride, int m, int k, Rows to) {
    long at = to.newAddress((long) m * k);
    for (int i = 0; i < m; i++) {
      Memory.copy(x + 4L * i * xStride, at + 4L * i * k, 4L * k);
    }
  }

  /** Of a {@link VectorQuantised} that stands beside it where the processor lacks VNNI. */
  @Override
  public int scratch() {
    return VectorDotTiles.scratch();
  }
}
