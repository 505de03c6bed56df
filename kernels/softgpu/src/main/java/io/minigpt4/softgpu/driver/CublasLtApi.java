package io.minigpt4.softgpu.driver;

import io.minigpt4.softgpu.driver.State.Stream;
import java.util.HashMap;
import java.util.Map;

/**
 * cuBLASLt's matrix products, in f32 arithmetic. Types: A and B both f16, bf16 or f32; C and D of
 * that type or f32; alpha, beta f32 on the host.
 */
final class CublasLtApi {
  private static final int INTERNAL_ERROR = 14;
  private static final int INVALID_VALUE = 7;
  private static final int EXECUTION_FAILED = 13;
  private static final int NOT_SUPPORTED = 15;
  private static final int COMPUTE_32F = 68;
  private static final int COMPUTE_32F_PEDANTIC = 69;
  private static final int COMPUTE_32F_FAST_TF32 = 77;
  private static final long VERSION = 130101;
  private static final int RESULT_BYTES = 96;

  private final State state;

  /** A handle of the library. */
  private static final class Handle {}

  /** A preference: what it says does not matter here. */
  private static final class Preference {}

  /** Attributes of a product by number. */
  static final class Product {
    final Map<Integer, Long> attributes = new HashMap<>();

    long get(int attribute, long otherwise) {
      return attributes.getOrDefault(attribute, otherwise);
    }
  }

  /** Attributes of a matrix by number: type, order, rows, columns, leading, batch, stride. */
  static final class Layout {
    final Map<Integer, Long> attributes = new HashMap<>();

    long get(int attribute) {
      return attributes.getOrDefault(attribute, attribute == 5 ? 1L : 0L);
    }

    int type() {
      return (int) get(0);
    }

    boolean rowMajor() {
      return get(1) == 1;
    }

    long rows() {
      return get(2);
    }

    long columns() {
      return get(3);
    }

    long leading() {
      return get(4);
    }

    long batch() {
      return get(5);
    }

    long stride() {
      return get(6);
    }
  }

  CublasLtApi(State state) {
    this.state = state;
  }

  /** The library's code for one of the driver's. */
  static int status(int driver) {
    return switch (driver) {
      case Status.INVALID_VALUE, Status.INVALID_HANDLE -> INVALID_VALUE;
      case Status.NOT_SUPPORTED -> NOT_SUPPORTED;
      case Status.INVALID_CONTEXT, Status.NOT_INITIALIZED -> 1;
      case Status.OUT_OF_MEMORY -> 3;
      case Status.UNKNOWN -> INTERNAL_ERROR;
      default -> EXECUTION_FAILED;
    };
  }

  public long cublasLtGetVersion() {
    return VERSION;
  }

  public int cublasLtCreate(long handle) {
    state.current();
    Native.putLong(handle, state.handle(new Handle()));
    return Status.SUCCESS;
  }

  public int cublasLtDestroy(long handle) {
    state.remove(handle, Handle.class);
    return Status.SUCCESS;
  }

  public int cublasLtMatmulDescCreate(long product, int compute, int scale) {
    boolean known =
        compute == COMPUTE_32F
            || compute == COMPUTE_32F_PEDANTIC
            || compute == COMPUTE_32F_FAST_TF32;
    if (!known || scale != 0) {
      throw new Status(
          Status.NOT_SUPPORTED, "compute type %d, scale type %d".formatted(compute, scale));
    }
    Native.putLong(product, state.handle(new Product()));
    return Status.SUCCESS;
  }

  public int cublasLtMatmulDescDestroy(long product) {
    state.remove(product, Product.class);
    return Status.SUCCESS;
  }

  public int cublasLtMatmulDescSetAttribute(long product, int attribute, long value, long bytes) {
    Product p = state.get(product, Product.class);
    int needs = attribute == 8 || attribute == 10 ? 8 : 4;
    switch (attribute) {
      case 0, 1, 2, 3, 4, 7, 8, 10, 26 -> {}
      default -> throw new Status(Status.NOT_SUPPORTED, "attribute %d".formatted(attribute));
    }
    p.attributes.put(attribute, value(value, bytes, needs));
    return Status.SUCCESS;
  }

  private static long value(long at, long bytes, int needs) {
    if (bytes != needs) {
      throw new Status(
          Status.INVALID_VALUE, "an attribute has %d bytes, not %d".formatted(needs, bytes));
    }
    return needs == 8 ? Native.getLong(at) : Native.getInt(at);
  }

  public int cublasLtMatrixLayoutCreate(
      long layout, int type, long rows, long columns, long leading) {
    Layout l = new Layout();
    l.attributes.put(0, (long) type);
    l.attributes.put(2, rows);
    l.attributes.put(3, columns);
    l.attributes.put(4, leading);
    Native.putLong(layout, state.handle(l));
    return Status.SUCCESS;
  }

  public int cublasLtMatrixLayoutDestroy(long layout) {
    state.remove(layout, Layout.class);
    return Status.SUCCESS;
  }

  public int cublasLtMatrixLayoutSetAttribute(long layout, int attribute, long value, long bytes) {
    Layout l = state.get(layout, Layout.class);
    if (attribute < 0 || attribute > 6) {
      throw new Status(Status.NOT_SUPPORTED, "layout attribute " + attribute);
    }
    boolean wide = attribute == 2 || attribute == 3 || attribute == 4 || attribute == 6;
    l.attributes.put(attribute, value(value, bytes, wide ? 8 : 4));
    return Status.SUCCESS;
  }

  public int cublasLtMatmulPreferenceCreate(long preference) {
    Native.putLong(preference, state.handle(new Preference()));
    return Status.SUCCESS;
  }

  public int cublasLtMatmulPreferenceDestroy(long preference) {
    state.remove(preference, Preference.class);
    return Status.SUCCESS;
  }

  public int cublasLtMatmulPreferenceSetAttribute(
      long preference, int attribute, long value, long bytes) {
    state.get(preference, Preference.class);
    Native.getInt(value);
    return Status.SUCCESS;
  }

  /** One algorithm without workspace, where the product is one that this library computes. */
  public int cublasLtMatmulAlgoGetHeuristic(
      long handle,
      long product,
      long a,
      long b,
      long c,
      long d,
      long preference,
      int wanted,
      long results,
      long returned) {
    state.get(handle, Handle.class);
    Product p = state.get(product, Product.class);
    MatrixProduct.of(p, layout(a), layout(b), layout(c), layout(d));
    if (wanted < 1) {
      return INVALID_VALUE;
    }
    Native.at(results, RESULT_BYTES).fill((byte) 0);
    Native.putInt(results, 1);
    Native.putFloat(results + 76, 1f);
    Native.putInt(returned, 1);
    return Status.SUCCESS;
  }

  private Layout layout(long handle) {
    return state.get(handle, Layout.class);
  }

  public int cublasLtMatmul(
      long handle,
      long product,
      long alpha,
      long a,
      long aLayout,
      long b,
      long bLayout,
      long beta,
      long c,
      long cLayout,
      long d,
      long dLayout,
      long algorithm,
      long workspace,
      long workspaceBytes,
      long stream) {
    state.get(handle, Handle.class);
    Stream s = state.stream(stream);
    Product p = state.get(product, Product.class);
    if (p.get(2, 0) != 0) {
      throw new Status(Status.NOT_SUPPORTED, "alpha and beta on the device");
    }
    MatrixProduct m =
        MatrixProduct.of(p, layout(aLayout), layout(bLayout), layout(cLayout), layout(dLayout));
    float al = Native.getFloat(alpha);
    float be = Native.getFloat(beta);
    m.check(s.device.gpu, a, b, be == 0 ? 0 : c, d);
    state.enqueue(s, () -> run(s, m, al, a, b, be, c, d));
    return Status.SUCCESS;
  }

  private static void run(
      Stream s, MatrixProduct m, float alpha, long a, long b, float beta, long c, long d) {
    try {
      m.run(s.device.gpu, alpha, a, b, beta, c, d);
    } catch (Status e) {
      s.device.spoilt = e.code();
      throw e;
    }
  }
}
