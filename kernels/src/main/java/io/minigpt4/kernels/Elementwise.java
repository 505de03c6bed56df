package io.minigpt4.kernels;

/**
 * Operations on single elements, computed in float32. All are bound by memory: they read and write
 * each byte once, 16 bytes a thread where addresses and strides allow.
 */
public final class Elementwise {
  private static final int THREADS = 256;

  private final TypedKernel add;
  private final TypedKernel siluMul;
  private final TypedKernel bias;
  private final TypedKernel biasGelu;

  /**
   * @param library where the kernels come from
   */
  public Elementwise(KernelLibrary library) {
    add = new TypedKernel(library, "add", "mg_add", 3);
    siluMul = new TypedKernel(library, "silu_mul", "mg_silu_mul", 7);
    bias = new TypedKernel(library, "bias", "mg_bias", 5);
    biasGelu = new TypedKernel(library, "bias", "mg_bias_gelu", 5);
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

  /**
   * x += bias, for a matrix [rows, width]. Moves 2 · rows · width elements.
   *
   * @param element type of x
   * @param stride elements from row to row of x
   * @param bias address of [width]
   * @param biasElement type of bias
   */
  public void bias(
      long stream,
      Element element,
      long x,
      long stride,
      long bias,
      Element biasElement,
      long rows,
      int width) {
    bias(this.bias, stream, element, x, stride, bias, biasElement, rows, width);
  }

  /**
   * x = gelu(x + bias) with the exact GELU, x/2 · (1 + erf(x/√2)); else like {@link #bias}.
   *
   * @param element type of x
   * @param stride elements from row to row of x
   * @param bias address of [width]
   * @param biasElement type of bias
   */
  public void biasGelu(
      long stream,
      Element element,
      long x,
      long stride,
      long bias,
      Element biasElement,
      long rows,
      int width) {
    bias(biasGelu, stream, element, x, stride, bias, biasElement, rows, width);
  }

  private static void bias(
      TypedKernel kernel,
      long stream,
      Element element,
      long x,
      long stride,
      long bias,
      Element biasElement,
      long rows,
      int width) {
    if (rows == 0 || width == 0) {
      return;
    }
    kernel
        .of(element)
        .with(x)
        .with(stride)
        .with(bias)
        .with(biasElement.code())
        .with(width)
        .launch(rows, Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }
}
