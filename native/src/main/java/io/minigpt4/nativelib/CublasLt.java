package io.minigpt4.nativelib;

import static io.minigpt4.nativelib.Downcalls.call;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * cuBLASLt: matrix products D = epilogue(α·op(A)·op(B) + β·C), column-major by default. Each method
 * is the function that its documentation names, and throws {@link NativeException} when that fails.
 */
public final class CublasLt {
  private static final String LIBRARY = "cuBLASLt";

  // Numbers of cudaDataType_t.
  public static final int R_32F = 0;
  public static final int R_16F = 2;
  public static final int R_8I = 3;
  public static final int R_32I = 10;
  public static final int R_16BF = 14;

  // Numbers of cublasComputeType_t.
  public static final int COMPUTE_32F = 68;
  public static final int COMPUTE_32I = 72;
  public static final int COMPUTE_32F_FAST_TF32 = 77;

  // Attributes of a product, and their values.
  public static final int TRANSPOSE_A = 3;
  public static final int TRANSPOSE_B = 4;
  public static final int EPILOGUE = 7;
  public static final int BIAS_POINTER = 8;
  public static final int BIAS_TYPE = 26;
  public static final int OP_NONE = 0;
  public static final int OP_TRANSPOSE = 1;
  public static final int EPILOGUE_DEFAULT = 1;
  public static final int EPILOGUE_BIAS = 4;

  /** GELU by its tanh approximation; not the exact erf form. */
  public static final int EPILOGUE_GELU_BIAS = 36;

  // Attributes of a matrix layout.
  public static final int LAYOUT_ORDER = 1;
  public static final int LAYOUT_BATCH = 5;
  public static final int LAYOUT_BATCH_STRIDE = 6;
  public static final int ORDER_COLUMN = 0;
  public static final int ORDER_ROW = 1;

  private static final int PREFERENCE_MAX_WORKSPACE = 1;

  // Of matrices A to D, in bytes.
  private static final int PREFERENCE_FIRST_ALIGNMENT = 5;
  private static final int PREFERENCE_LAST_ALIGNMENT = 8;

  // cublasLtMatmulHeuristicResult_t: an algorithm of 64 bytes, its workspace, a status, more.
  private static final long RESULT_BYTES = 96;
  private static final long RESULT_ALGORITHM_BYTES = 64;
  private static final long RESULT_WORKSPACE_AT = 64;
  private static final long RESULT_STATUS_AT = 72;

  private static final int NOT_SUPPORTED = 15;

  private static final Map<Integer, String> NAMES =
      Map.of(
          1,
          "NOT_INITIALIZED",
          3,
          "ALLOC_FAILED",
          7,
          "INVALID_VALUE",
          8,
          "ARCH_MISMATCH",
          11,
          "MAPPING_ERROR",
          13,
          "EXECUTION_FAILED",
          14,
          "INTERNAL_ERROR",
          NOT_SUPPORTED,
          "NOT_SUPPORTED",
          16,
          "LICENSE_ERROR");

  private static final Map<Integer, String> MEANINGS =
      Map.of(
          1,
          "the library could not start; is there a GPU?",
          3,
          "not enough memory is free",
          7,
          "an argument is invalid",
          8,
          "the GPU is too old for this product",
          11,
          "memory could not be mapped",
          13,
          "the kernel failed",
          14,
          "an internal error",
          NOT_SUPPORTED,
          "these types, layouts or sizes are not supported",
          16,
          "a licence is missing");

  private final MemorySegment getVersion;
  private final MemorySegment create;
  private final MemorySegment destroy;
  private final MemorySegment productCreate;
  private final MemorySegment productDestroy;
  private final MemorySegment productSet;
  private final MemorySegment layoutCreate;
  private final MemorySegment layoutDestroy;
  private final MemorySegment layoutSet;
  private final MemorySegment preferenceCreate;
  private final MemorySegment preferenceDestroy;
  private final MemorySegment preferenceSet;
  private final MemorySegment heuristic;
  private final MemorySegment matmul;

  /**
   * @param symbols the library's functions, or stubs of them
   * @throws MissingLibraryException if one is missing, which then is named
   */
  public CublasLt(SymbolLookup symbols) {
    getVersion = Downcalls.find(symbols, LIBRARY, "cublasLtGetVersion");
    create = Downcalls.find(symbols, LIBRARY, "cublasLtCreate");
    destroy = Downcalls.find(symbols, LIBRARY, "cublasLtDestroy");
    productCreate = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulDescCreate");
    productDestroy = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulDescDestroy");
    productSet = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulDescSetAttribute");
    layoutCreate = Downcalls.find(symbols, LIBRARY, "cublasLtMatrixLayoutCreate");
    layoutDestroy = Downcalls.find(symbols, LIBRARY, "cublasLtMatrixLayoutDestroy");
    layoutSet = Downcalls.find(symbols, LIBRARY, "cublasLtMatrixLayoutSetAttribute");
    preferenceCreate = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulPreferenceCreate");
    preferenceDestroy = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulPreferenceDestroy");
    preferenceSet = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulPreferenceSetAttribute");
    heuristic = Downcalls.find(symbols, LIBRARY, "cublasLtMatmulAlgoGetHeuristic");
    matmul = Downcalls.find(symbols, LIBRARY, "cublasLtMatmul");
  }

  private static void check(String function, int status) {
    if (status != 0) {
      throw new NativeException(
          function,
          status,
          "CUBLAS_STATUS_" + NAMES.getOrDefault(status, "unlisted"),
          MEANINGS.getOrDefault(status, "see cuBLAS's documentation"));
    }
  }

  /** {@code cublasLtGetVersion}: 10000 · major + 100 · minor + patch. */
  public int version() {
    return call(getVersion); // a size_t, of which these are the lower half
  }

  /** {@code cublasLtCreate}: a handle for the current context. */
  public long create() {
    try (Out out = new Out()) {
      check("cublasLtCreate", call(create, out.address()));
      return out.asLong();
    }
  }

  /** {@code cublasLtDestroy}. */
  public void destroy(long handle) {
    check("cublasLtDestroy", call(destroy, handle));
  }

  /**
   * {@code cublasLtMatmulDescCreate}: a product's description.
   *
   * @param compute such as {@link #COMPUTE_32F}
   * @param scale type of α and β, such as {@link #R_32F}
   */
  public long createProduct(int compute, int scale) {
    try (Out out = new Out()) {
      check("cublasLtMatmulDescCreate", call(productCreate, out.address(), compute, scale));
      return out.asLong();
    }
  }

  /** {@code cublasLtMatmulDescDestroy}. */
  public void destroyProduct(long product) {
    check("cublasLtMatmulDescDestroy", call(productDestroy, product));
  }

  /** {@code cublasLtMatmulDescSetAttribute} of 4 bytes, such as {@link #EPILOGUE}. */
  public void setProduct(long product, int attribute, int value) {
    setInt("cublasLtMatmulDescSetAttribute", productSet, product, attribute, value);
  }

  /** {@code cublasLtMatmulDescSetAttribute} of 8 bytes, such as {@link #BIAS_POINTER}. */
  public void setProductAddress(long product, int attribute, long address) {
    setLong("cublasLtMatmulDescSetAttribute", productSet, product, attribute, address);
  }

  /**
   * {@code cublasLtMatrixLayoutCreate}.
   *
   * @param type such as {@link #R_16F}
   * @param leading elements from one column to the next, or row to row if the order is changed
   */
  public long createLayout(int type, long rows, long columns, long leading) {
    try (Out out = new Out()) {
      int status = call(layoutCreate, out.address(), type, rows, columns, leading);
      check("cublasLtMatrixLayoutCreate", status);
      return out.asLong();
    }
  }

  /** {@code cublasLtMatrixLayoutDestroy}. */
  public void destroyLayout(long layout) {
    check("cublasLtMatrixLayoutDestroy", call(layoutDestroy, layout));
  }

  /** {@code cublasLtMatrixLayoutSetAttribute} of 4 bytes, such as {@link #LAYOUT_ORDER}. */
  public void setLayout(long layout, int attribute, int value) {
    setInt("cublasLtMatrixLayoutSetAttribute", layoutSet, layout, attribute, value);
  }

  /** {@code cublasLtMatrixLayoutSetAttribute} of {@link #LAYOUT_BATCH_STRIDE}, in elements. */
  public void setLayoutBatchStride(long layout, long elements) {
    setLong("cublasLtMatrixLayoutSetAttribute", layoutSet, layout, LAYOUT_BATCH_STRIDE, elements);
  }

  private static void setInt(
      String function, MemorySegment setter, long object, int attribute, int value) {
    try (Arena arena = Arena.ofConfined()) {
      long at = arena.allocateFrom(ValueLayout.JAVA_INT, value).address();
      check(function, call(setter, object, attribute, at, 4L));
    }
  }

  private static void setLong(
      String function, MemorySegment setter, long object, int attribute, long value) {
    try (Arena arena = Arena.ofConfined()) {
      long at = arena.allocateFrom(ValueLayout.JAVA_LONG, value).address();
      check(function, call(setter, object, attribute, at, 8L));
    }
  }

  /**
   * A way to compute a product.
   *
   * @param data what the library knows it by, 64 bytes
   * @param workspaceBytes device memory that it needs
   */
  public record Algorithm(MemorySegment data, long workspaceBytes) {}

  /**
   * {@code cublasLtMatmulAlgoGetHeuristic}: the way that the library expects to be fastest.
   *
   * @param a the layouts of A, B, C and D
   * @param alignment of all four addresses, in bytes: a power of two up to 256
   * @param arena owns the result
   * @return null if no algorithm fits the types, layouts and workspace
   */
  public @Nullable Algorithm choose(
      long handle,
      long product,
      long a,
      long b,
      long c,
      long d,
      long maxWorkspaceBytes,
      int alignment,
      Arena arena) {
    try (Out preference = new Out();
        Out returned = new Out()) {
      check("cublasLtMatmulPreferenceCreate", call(preferenceCreate, preference.address()));
      try {
        setLong(
            "cublasLtMatmulPreferenceSetAttribute",
            preferenceSet,
            preference.asLong(),
            PREFERENCE_MAX_WORKSPACE,
            maxWorkspaceBytes);
        for (int i = PREFERENCE_FIRST_ALIGNMENT; i <= PREFERENCE_LAST_ALIGNMENT; i++) {
          setInt(
              "cublasLtMatmulPreferenceSetAttribute",
              preferenceSet,
              preference.asLong(),
              i,
              alignment);
        }
        MemorySegment result = arena.allocate(RESULT_BYTES, 8);
        int status =
            Downcalls.heuristic(
                heuristic,
                handle,
                product,
                a,
                b,
                c,
                d,
                preference.asLong(),
                1,
                result.address(),
                returned.address());
        if (status == NOT_SUPPORTED) {
          return null;
        }
        check("cublasLtMatmulAlgoGetHeuristic", status);
        if (returned.asInt() == 0 || result.get(ValueLayout.JAVA_INT, RESULT_STATUS_AT) != 0) {
          return null;
        }
        return new Algorithm(
            result.asSlice(0, RESULT_ALGORITHM_BYTES),
            result.get(ValueLayout.JAVA_LONG, RESULT_WORKSPACE_AT));
      } finally {
        check("cublasLtMatmulPreferenceDestroy", call(preferenceDestroy, preference.asLong()));
      }
    }
  }

  /**
   * {@code cublasLtMatmul}. Allocates nothing.
   *
   * @param alpha host memory that holds α, and {@code beta} β, in the product's scale type
   * @param a device address of A; likewise B, C and D, with their layouts
   * @param workspace device address of at least the algorithm's workspace
   */
  public void multiply(
      long handle,
      long product,
      MemorySegment alpha,
      long a,
      long aLayout,
      long b,
      long bLayout,
      MemorySegment beta,
      long c,
      long cLayout,
      long d,
      long dLayout,
      Algorithm algorithm,
      long workspace,
      long stream) {
    int status =
        Downcalls.matmul(
            matmul,
            handle,
            product,
            alpha.address(),
            a,
            aLayout,
            b,
            bLayout,
            beta.address(),
            c,
            cLayout,
            d,
            dLayout,
            algorithm.data().address(),
            workspace,
            algorithm.workspaceBytes(),
            stream);
    check("cublasLtMatmul", status);
  }
}
