package io.minigpt4.cuda;

import io.minigpt4.nativelib.CublasLt;
import io.minigpt4.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;

/**
 * Matrix products by cuBLASLt on float16 operands, accumulated in float32. What the library needs
 * to know of a shape, and the algorithm that it chose, is kept; the next product of that shape
 * allocates nothing.
 *
 * <p>The library thinks in columns: to it a row-major [M, K] is a column-major [K, M]. So out = x ·
 * weightᵀ is computed as outᵀ = weight · xᵀ, the weight being the left operand, transposed.
 */
final class Products {
  /** What NVIDIA recommends for Hopper; earlier GPUs need less. */
  private static final long WORKSPACE = 32L << 20;

  private static final long MOST_ALIGNMENT = 256;

  private final CublasLt library;
  private final CudaDevice device;
  private final Arena arena = Arena.ofShared();
  private final MemorySegment one = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1f);
  private final MemorySegment zero = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0f);
  private final long workspace;
  private final Map<Shape, Plan> plans = new HashMap<>();

  /**
   * A product out [m, n] = left [m, k] · right [k, n] of column-major matrices.
   *
   * @param turnLeft whether left lies transposed in memory, likewise turnRight
   * @param leftStride elements from column to column in memory, likewise the others
   * @param outType F16 or F32
   * @param alignment of all addresses, the bias's included, in bytes
   */
  private record Shape(
      boolean turnLeft,
      boolean turnRight,
      long m,
      long n,
      long k,
      long leftStride,
      long rightStride,
      long outStride,
      DType outType,
      boolean bias,
      long alignment) {}

  private record Plan(
      long product, long left, long right, long out, CublasLt.Algorithm algorithm) {}

  Products(CudaDevice device) {
    this.device = device;
    this.library = device.blas();
    this.workspace = device.allocate(WORKSPACE).address();
  }

  /**
   * Computes out [M, N] = x [M, K] · weight [N, K]ᵀ + bias [N].
   *
   * @param x address of float16, likewise weight
   * @param bias address of float16, or 0 for none
   * @param outType F16 or F32
   */
  void multiply(
      long x,
      long xStride,
      long weight,
      long bias,
      long out,
      long outStride,
      DType outType,
      long rows,
      long columns,
      long depth) {
    Shape shape =
        new Shape(
            true,
            false,
            columns,
            rows,
            depth,
            depth,
            xStride,
            outStride,
            outType,
            bias != 0,
            alignment(weight, x | bias, out));
    run(shape, weight, x, bias, false, out);
  }

  /**
   * Computes dx [M, K] (+)= dOut [M, N] · weight [N, K].
   *
   * @param dOut address of float16, likewise weight and dx
   * @param accumulate whether to add to what dx holds
   */
  void backward(
      long dOut,
      long dOutStride,
      long weight,
      long dx,
      long dxStride,
      boolean accumulate,
      long rows,
      long columns,
      long depth) {
    Shape shape =
        new Shape(
            false,
            false,
            depth,
            rows,
            columns,
            depth,
            dOutStride,
            dxStride,
            DType.F16,
            false,
            alignment(weight, dOut, dx));
    run(shape, weight, dOut, 0, accumulate, dx);
  }

  /**
   * Computes dWeight [N, K] += dOut [M, N]ᵀ · x [M, K].
   *
   * @param dOut address of float16
   * @param x address of float16, dense
   * @param dWeight address of float32
   */
  void weightBackward(
      long dOut, long dOutStride, long x, long dWeight, long rows, long columns, long depth) {
    Shape shape =
        new Shape(
            false,
            true,
            depth,
            columns,
            rows,
            depth,
            dOutStride,
            depth,
            DType.F32,
            false,
            alignment(x, dOut, dWeight));
    run(shape, x, dOut, 0, true, dWeight);
  }

  private static long alignment(long left, long right, long out) {
    return Math.min(MOST_ALIGNMENT, Long.lowestOneBit(left | right | out));
  }

  private void run(Shape shape, long left, long right, long bias, boolean accumulate, long out) {
    Plan plan = plans.get(shape);
    if (plan == null) {
      plan = plan(shape, bias);
      plans.put(shape, plan);
    }
    if (bias != 0) {
      library.setProductAddress(plan.product, CublasLt.BIAS_POINTER, bias);
    }
    library.multiply(
        device.blasHandle(),
        plan.product,
        one,
        left,
        plan.left,
        right,
        plan.right,
        accumulate ? one : zero,
        out,
        plan.out,
        out,
        plan.out,
        plan.algorithm,
        workspace,
        device.stream());
  }

  private Plan plan(Shape s, long bias) {
    long product = library.createProduct(CublasLt.COMPUTE_32F, CublasLt.R_32F);
    if (s.turnLeft) {
      library.setProduct(product, CublasLt.TRANSPOSE_A, CublasLt.OP_TRANSPOSE);
    }
    if (s.turnRight) {
      library.setProduct(product, CublasLt.TRANSPOSE_B, CublasLt.OP_TRANSPOSE);
    }
    if (s.bias) {
      library.setProduct(product, CublasLt.EPILOGUE, CublasLt.EPILOGUE_BIAS);
      library.setProduct(product, CublasLt.BIAS_TYPE, CublasLt.R_16F);
      // The heuristic reads the bias's alignment off its address.
      library.setProductAddress(product, CublasLt.BIAS_POINTER, bias);
    }
    long left = layout(CublasLt.R_16F, s.turnLeft, s.m, s.k, s.leftStride);
    long right = layout(CublasLt.R_16F, s.turnRight, s.k, s.n, s.rightStride);
    int type = s.outType == DType.F32 ? CublasLt.R_32F : CublasLt.R_16F;
    long out = layout(type, false, s.m, s.n, s.outStride);
    CublasLt.Algorithm algorithm =
        library.choose(
            device.blasHandle(),
            product,
            left,
            right,
            out,
            out,
            WORKSPACE,
            (int) s.alignment,
            arena);
    if (algorithm == null) {
      throw new IllegalStateException("cuBLASLt has no algorithm for " + s);
    }
    return new Plan(product, left, right, out, algorithm);
  }

  private long layout(int type, boolean turned, long rows, long columns, long stride) {
    return library.createLayout(type, turned ? columns : rows, turned ? rows : columns, stride);
  }

  /** Frees what the library knows; device memory belongs to the device. */
  void close() {
    for (Plan plan : plans.values()) {
      library.destroyLayout(plan.out);
      library.destroyLayout(plan.right);
      library.destroyLayout(plan.left);
      library.destroyProduct(plan.product);
    }
    plans.clear();
    arena.close();
  }
}
