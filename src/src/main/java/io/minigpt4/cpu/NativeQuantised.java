package io.minigpt4.cpu;

import io.minigpt4.kernels.CpuLibrary;
import io.minigpt4.tensor.DType;

/**
 * {@link QuantisedKernels} by the processor's integer dot products. Rows of x become integers of 24
 * bits: their largest element loses what float32 would lose on it.
 */
final class NativeQuantised implements QuantisedKernels {
  private final CpuLibrary library;
  private final QuantisedKernels conversions;

  /**
   * @param conversions what makes floats of weights
   */
  NativeQuantised(CpuLibrary library, QuantisedKernels conversions) {
    this.library = library;
    this.conversions = conversions;
  }

  @Override
  public void toFloats(QuantisedRows w, long row, int from, int n, float[] to, int at) {
    conversions.toFloats(w, row, from, n, to, at);
  }

  @Override
  public void dots(
      QuantisedRows w, Rows x, int m, long row, int n, long out, long outStride, float[] scratch) {
    long from = w.row(row);
    long scales = w.scales(row);
    if (w.type() == DType.Q8) {
      library.dotsOfBytes(x.address(), m, from, scales, n, w.width(), out, outStride);
    } else {
      library.dotsOfNibbles(x.address(), m, from, scales, n, w.blocks(), w.group(), out, outStride);
    }
  }

  @Override
  public void arrange(QuantisedRows w, long x, long xStride, int m, Rows to) {
    int k = w.width();
    if (w.type() == DType.Q8) {
      long at = to.newAddress(CpuLibrary.arrangedForBytes(m, k));
      library.arrangeForBytes(x, xStride, m, k, at);
    } else {
      long at = to.newAddress(CpuLibrary.arrangedForNibbles(m, w.blocks(), w.group()));
      library.arrangeForNibbles(x, xStride, m, k, w.blocks(), w.group(), at);
    }
  }
}
