package io.minigpt4.kernels;

/**
 * The ways back through what lies between a projection and a loss, but for attention and matrix
 * products: derivatives in float16, arithmetic in float32. {@code dT} is the gradient of T, of T's
 * shape. All are bound by memory.
 */
public final class Backward {
  private static final int THREADS = 256;
  private static final int MAX_HEAD_DIM = 4096;
  private static final int SUM_COLUMNS = 64;

  private final TypedKernel siluMul;
  private final TypedKernel rmsNorm;
  private final TypedKernel rope;
  private final TypedKernel columnSums;
  private final TypedKernel collectRows;

  /**
   * @param library where the kernels come from
   */
  public Backward(KernelLibrary library) {
    siluMul = new TypedKernel(library, "silu_mul_backward", "mg_silu_mul_backward", 11);
    rmsNorm = new TypedKernel(library, "rms_norm_backward", "mg_rms_norm_backward", 8);
    rope = new TypedKernel(library, "rope_backward", "mg_rope_backward", 10);
    columnSums = new TypedKernel(library, "row_sums", "mg_column_sums", 5);
    collectRows = new TypedKernel(library, "row_sums", "mg_collect_rows", 6);
  }

  /**
   * Through out = silu(gate) · up. With s = 1 / (1 + e^−gate): dUp = dOut · gate · s, dGate = dOut
   * · up · s · (1 + gate · (1 − s)).
   *
   * @param gate address of [rows, width], likewise the others
   * @param gateStride elements from row to row, likewise the others
   * @param dGate may be dOut
   */
  public void siluMul(
      long stream,
      long gate,
      long gateStride,
      long up,
      long upStride,
      long dOut,
      long dOutStride,
      long dGate,
      long dGateStride,
      long dUp,
      long dUpStride,
      long rows,
      int width) {
    if (rows == 0 || width == 0) {
      return;
    }
    siluMul
        .of(Element.F16)
        .with(gate)
        .with(gateStride)
        .with(up)
        .with(upStride)
        .with(dOut)
        .with(dOutStride)
        .with(dGate)
        .with(dGateStride)
        .with(dUp)
        .with(dUpStride)
        .with(width)
        .launch(rows, Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }

  /**
   * Through RMSNorm. With r = 1 / sqrt(mean(x²) + eps) per row: dx (+)= r · (weight · dOut) − x ·
   * r³ · mean(weight · dOut · x).
   *
   * @param x address of [rows, width], dense as all are
   * @param weight address of [width]
   * @param accumulate whether to add to what dx holds
   * @throws IllegalArgumentException if width exceeds {@link Norms#MAX_WIDTH}
   */
  public void rmsNorm(
      long stream,
      long x,
      long weight,
      Element weightElement,
      float eps,
      long dOut,
      long dx,
      boolean accumulate,
      long rows,
      int width) {
    int threads = Norms.threads(width);
    if (rows == 0) {
      return;
    }
    rmsNorm
        .of(Element.F16)
        .with(x)
        .with(weight)
        .with(weightElement.code())
        .with(eps)
        .with(dOut)
        .with(dx)
        .with(accumulate ? 1 : 0)
        .with(width)
        .launch(rows, 1, threads, stream);
  }

  /**
   * Turns gradients of rotated queries and keys back by their positions' angles, in place. Rows
   * that belong to no sequence are left alone.
   *
   * @param dq address of [rows, heads · headDim]
   * @param dk address of [rows, kvHeads · headDim]
   * @param sequences address of int32 [count][4], as for {@link RopeAppend}
   * @param inverseFrequencies address of float32 [headDim / 2]
   * @throws IllegalArgumentException if headDim is odd, below 2 or above 4096
   */
  public void rope(
      long stream,
      long dq,
      long dqStride,
      long dk,
      long dkStride,
      long rows,
      long sequences,
      int count,
      long inverseFrequencies,
      int heads,
      int kvHeads,
      int headDim) {
    if (headDim < 2 || headDim > MAX_HEAD_DIM || headDim % 2 != 0) {
      throw new IllegalArgumentException("RoPE over heads of " + headDim);
    }
    if (rows == 0) {
      return;
    }
    long items = ((long) heads + kvHeads) * Grids.chunks(headDim / 2);
    rope.of(Element.F16)
        .with(dq)
        .with(dqStride)
        .with(dk)
        .with(dkStride)
        .with(sequences)
        .with(count)
        .with(inverseFrequencies)
        .with(heads)
        .with(kvHeads)
        .with(headDim)
        .launch(rows, Grids.ceilDiv(items, THREADS), 1, THREADS, headDim * Float.BYTES, stream);
  }

  /**
   * sums[c] += Σ rows x[r][c], the gradient of a bias.
   *
   * @param x address of [rows, width]
   * @param stride elements from row to row
   * @param sums address of float32 [width]
   */
  public void columnSums(long stream, long x, long stride, int rows, int width, long sums) {
    if (rows == 0 || width == 0) {
      return;
    }
    columnSums
        .of(Element.F16)
        .with(x)
        .with(stride)
        .with(rows)
        .with(width)
        .with(sums)
        .launch(Grids.ceilDiv(width, SUM_COLUMNS), 1, THREADS, stream);
  }

  /**
   * out[r] (+)= Σ x[places[j]] for j from starts[r] to starts[r + 1] − 1: the way back through a
   * gather.
   *
   * @param x address of [., width] dense
   * @param starts address of int32 [rows + 1], ascending
   * @param places address of int32 [starts[rows]], rows of x
   * @param out address of [rows, width] dense
   * @param accumulate whether to add to what out holds
   */
  public void collectRows(
      long stream,
      long x,
      long starts,
      long places,
      long out,
      boolean accumulate,
      long rows,
      int width) {
    if (rows == 0 || width == 0) {
      return;
    }
    collectRows
        .of(Element.F16)
        .with(x)
        .with(starts)
        .with(places)
        .with(out)
        .with(accumulate ? 1 : 0)
        .with(width)
        .launch(rows, Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }
}
