package io.minigpt4.kernels;

/**
 * Operations on single elements, computed in float32. All are bound by memory: they read and write
 * each byte once, 16 bytes a thread where addresses and strides allow.
 */
public final class Elementwise {
  private static final int THREADS = 256;

  private final TypedKernel add;
  private final TypedKernel siluMul;

  /**
   * @param library where the kernels come from
   */
  public Elementwise(KernelLibrary library) {
    add = new TypedKernel(library, "add", "mg_add", 3);
    siluMul = new TypedKernel(library, "silu_mul", "mg_silu_mul", 7);
  }

  /**
   * x += delta. Moves 3 · n elements.
   *
   * @param element type of both
   * @param x address of [n]
   * @param delta address of [n]
   */
  public void add(long stream, Element element, long x, long delta, long n) {
    if (n == 0) {
      return;
    }
    add.of(element)
        .with(x)
        .with(delta)
        .with(n)
        .launch(Grids.ceilDiv(Grids.chunks(n), THREADS), 1, THREADS, stream);
  }

  /**
   * out = silu(gate) · up with silu(g) = g / (1 + e^−g), for matrices [rows, width]; out may be
   * gate. Moves 3 · rows · width elements.
   *
   * @param element type of all three
   * @param gateStride elements from row to row, likewise the others
   */
  public void siluMul(
      long stream,
      Element element,
      long gate,
      long gateStride,
      long up,
      long upStride,
      long out,
      long outStride,
      long rows,
      int width) {
    if (rows == 0 || width == 0) {
      return;
    }
    siluMul
        .of(element)
        .with(gate)
        .with(gateStride)
        .with(up)
        .with(upStride)
        .with(out)
        .with(outStride)
        .with(width)
        .launch(rows, Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }
}
