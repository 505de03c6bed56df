package io.minigpt4.cuda;

import io.minigpt4.nativelib.CublasLt;
import io.minigpt4.tensor.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;

/**
 * Linear layers by cuBLASLt: out = x · weightᵀ + bias on float16 operands, accumulated in float32.
 * What the library needs to know of a shape, and the algorithm that it chose, is kept; the next
 * product of that shape allocates nothing.
 *
 * <p>The library thinks in columns: to it a row-major [M, K] is a column-major [K, M], so that it
 * computes outᵀ [N, M] = weight · xᵀ, with the bias along the rows of that.
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
   * A product's shape.
   *
   * @param rows M
   * @param columns N
   * @param depth K
   * @param xStride elements from row to row of x, likewise of out
   * @param outType F16 or F32
   * @param alignment of all addresses, in bytes
   */
  private record Shape(
      long rows,
      long columns,
      long depth,
      long xStride,
      long outStride,
      DType outType,
      boolean bias,
      long alignment) {}

  private record Plan(long product, long weight, long x, long out, CublasLt.Algorithm algorithm) {}

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
    long alignment = Math.min(MOST_ALIGNMENT, Long.lowestOneBit(x | weight | out));
    Shape shape =
        new Shape(rows, columns, depth, xStride, outStride, outType, bias != 0, alignment);
    Plan plan = plans.get(shape);
    if (plan == null) {
      plan = plan(shape);
      plans.put(shape, plan);
    }
    if (bias != 0) {
      library.setProductAddress(plan.product, CublasLt.BIAS_POINTER, bias);
    }
    library.multiply(
        device.blasHandle(),
        plan.product,
        one,
        weight,
        plan.weight,
        x,
        plan.x,
        zero,
        out,
        plan.out,
        out,
        plan.out,
        plan.algorithm,
        workspace,
        device.stream());
  }

  private Plan plan(Shape s) {
    long product = library.createProduct(CublasLt.COMPUTE_32F, CublasLt.R_32F);
    library.setProduct(product, CublasLt.TRANSPOSE_A, CublasLt.OP_TRANSPOSE);
    if (s.bias) {
      library.setProduct(product, CublasLt.EPILOGUE, CublasLt.EPILOGUE_BIAS);
      library.setProduct(product, CublasLt.BIAS_TYPE, CublasLt.R_16F);
    }
    int type = s.outType == DType.F32 ? CublasLt.R_32F : CublasLt.R_16F;
    long weight = library.createLayout(CublasLt.R_16F, s.depth, s.columns, s.depth);
    long x = library.createLayout(CublasLt.R_16F, s.depth, s.rows, s.xStride);
    long out = library.createLayout(type, s.columns, s.rows, s.outStride);
    CublasLt.Algorithm algorithm =
        library.choose(
            device.blasHandle(), product, weight, x, out, out, WORKSPACE, (int) s.alignment, arena);
    if (algorithm == null) {
      throw new IllegalStateException("cuBLASLt has no algorithm for " + s);
    }
    return new Plan(product, weight, x, out, algorithm);
  }

  /** Frees what the library knows; device memory belongs to the device. */
  void close() {
    for (Plan plan : plans.values()) {
      library.destroyLayout(plan.out);
      library.destroyLayout(plan.x);
      library.destroyLayout(plan.weight);
      library.destroyProduct(plan.product);
    }
    plans.clear();
    arena.close();
  }
}
