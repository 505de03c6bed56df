package io.minigpt4.nativelib;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** cuBLASLt's binding against a library of Java upcalls that multiplies float32 matrices. */
class CublasLtTest {
  private final Fake fake = new Fake();
  private final CublasLt library = new CublasLt(Stubs.of(fake, "cublasLt", Arena.ofAuto()));

  @Test
  void multipliesWithABias() {
    long handle = library.create();
    long product = library.createProduct(CublasLt.COMPUTE_32F, CublasLt.R_32F);
    library.setProduct(product, CublasLt.TRANSPOSE_A, CublasLt.OP_TRANSPOSE);
    library.setProduct(product, CublasLt.EPILOGUE, CublasLt.EPILOGUE_BIAS);
    long left = library.createLayout(CublasLt.R_32F, 3, 2, 3);
    long right = library.createLayout(CublasLt.R_32F, 3, 2, 3);
    long result = library.createLayout(CublasLt.R_32F, 2, 2, 2);
    library.setLayout(result, CublasLt.LAYOUT_ORDER, CublasLt.ORDER_COLUMN);
    library.setLayoutBatchStride(result, 1L << 33);
    assertThat(fake.longs.get(result + 6)).isEqualTo(1L << 33);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment a = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
      MemorySegment b = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, 0, 1, 0, 1, 0);
      MemorySegment c = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 100, 200, 300, 400);
      MemorySegment d = arena.allocate(ValueLayout.JAVA_FLOAT, 4);
      MemorySegment bias = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.25f, 0.5f);
      MemorySegment alpha = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 2f);
      MemorySegment beta = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 0.5f);
      library.setProductAddress(product, CublasLt.BIAS_POINTER, bias.address());
      CublasLt.Algorithm algorithm =
          Objects.requireNonNull(
              library.choose(handle, product, left, right, result, result, 4096, 16, arena));
      assertThat(algorithm.workspaceBytes()).isEqualTo(4096);
      library.multiply(
          handle,
          product,
          alpha,
          a.address(),
          left,
          b.address(),
          right,
          beta,
          c.address(),
          result,
          d.address(),
          result,
          algorithm,
          0xABC0,
          0x51);

      assertThat(d.toArray(ValueLayout.JAVA_FLOAT))
          .containsExactly(8 + 50 + 0.25f, 20 + 100 + 0.5f, 4 + 150 + 0.25f, 10 + 200 + 0.5f);
    }
    library.destroyLayout(left);
    library.destroyProduct(product);
    library.destroy(handle);
    assertThat(fake.destroyed).isEqualTo(4);
  }

  @Test
  void saysWhenNoAlgorithmFits() {
    try (Arena arena = Arena.ofConfined()) {
      fake.found = 0;
      assertThat(library.choose(1, 2, 3, 4, 5, 6, 0, 256, arena)).isNull();
      fake.heuristicStatus = 15;
      assertThat(library.choose(1, 2, 3, 4, 5, 6, 0, 256, arena)).isNull();
      fake.heuristicStatus = 7;
      assertThatThrownBy(() -> library.choose(1, 2, 3, 4, 5, 6, 0, 256, arena))
          .isInstanceOf(NativeException.class)
          .hasMessage(
              "cublasLtMatmulAlgoGetHeuristic failed: CUBLAS_STATUS_INVALID_VALUE (7),"
                  + " an argument is invalid");
      assertThat(fake.destroyed).as("preferences").isEqualTo(3);
    }
  }

  /**
   * The library's functions; handles are multiples of 100, attributes are kept at handle + number.
   */
  @SuppressWarnings({"MethodName", "UnusedMethod", "UnusedVariable"})
  static final class Fake {
    final Map<Long, Long> longs = new HashMap<>();
    int destroyed;
    int found = 1;
    int heuristicStatus;
    private long next = 100;

    private int create(long out) {
      Stubs.putLong(out, next);
      next += 100;
      return 0;
    }

    private int destroy() {
      destroyed++;
      return 0;
    }

    private int set(long object, int attribute, long value, long bytes) {
      longs.put(object + attribute, bytes == 8 ? Stubs.getLong(value) : Stubs.getInt(value));
      return bytes == 4 || bytes == 8 ? 0 : 7;
    }

    int cublasLtGetVersion() {
      return 130_101;
    }

    int cublasLtCreate(long out) {
      return create(out);
    }

    int cublasLtDestroy(long handle) {
      return destroy();
    }

    int cublasLtMatmulDescCreate(long out, int compute, int scale) {
      return compute == 68 && scale == 0 ? create(out) : 7;
    }

    int cublasLtMatmulDescDestroy(long product) {
      return destroy();
    }

    int cublasLtMatmulDescSetAttribute(long product, int attribute, long value, long bytes) {
      return set(product, attribute, value, bytes);
    }

    int cublasLtMatrixLayoutCreate(long out, int type, long rows, long columns, long leading) {
      longs.put(next + 50, rows);
      longs.put(next + 51, columns);
      longs.put(next + 52, leading);
      return create(out);
    }

    int cublasLtMatrixLayoutDestroy(long layout) {
      return destroy();
    }

    int cublasLtMatrixLayoutSetAttribute(long layout, int attribute, long value, long bytes) {
      return set(layout, attribute, value, bytes);
    }

    int cublasLtMatmulPreferenceCreate(long out) {
      return create(out);
    }

    int cublasLtMatmulPreferenceDestroy(long preference) {
      return destroy();
    }

    int cublasLtMatmulPreferenceSetAttribute(long object, int attribute, long value, long bytes) {
      return set(object, attribute, value, bytes);
    }

    int cublasLtMatmulAlgoGetHeuristic(
        long handle,
        long product,
        long a,
        long b,
        long c,
        long d,
        long preference,
        int requested,
        long results,
        long returned) {
      Stubs.putLong(results, 0x1234);
      Stubs.putLong(results + 64, Objects.requireNonNull(longs.get(preference + 1)));
      Stubs.putInt(returned, Math.min(found, requested));
      return heuristicStatus;
    }

    int cublasLtMatmul(
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
      boolean passed =
          handle == 100
              && Stubs.getLong(algorithm) == 0x1234
              && workspace == 0xABC0
              && workspaceBytes == 4096
              && stream == 0x51
              && Long.valueOf(1).equals(longs.get(product + 3))
              && Long.valueOf(4).equals(longs.get(product + 7));
      long depth = Objects.requireNonNull(longs.get(aLayout + 50));
      long rows = Objects.requireNonNull(longs.get(dLayout + 50));
      long columns = Objects.requireNonNull(longs.get(dLayout + 51));
      long bias = Objects.requireNonNull(longs.get(product + 8));
      for (long i = 0; i < rows; i++) {
        for (long j = 0; j < columns; j++) {
          float sum = 0;
          for (long k = 0; k < depth; k++) {
            sum +=
                Stubs.getFloat(a + 4 * (i * depth + k)) * Stubs.getFloat(b + 4 * (j * depth + k));
          }
          long at = 4 * (j * rows + i);
          float old = Stubs.getFloat(beta) * Stubs.getFloat(c + at);
          Stubs.putFloat(d + at, Stubs.getFloat(alpha) * sum + old + Stubs.getFloat(bias + 4 * i));
        }
      }
      return passed ? 0 : 7;
    }
  }
}
