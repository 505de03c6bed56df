package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.minigpt4.nativelib.MissingLibraryException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The processor's kernels against sums in double precision. The engine's tests compare them with
 * the kernels in Java over many more shapes.
 */
class CpuLibraryTest {
  private static final float GUARD = -12345;

  private final SplittableRandom random = new SplittableRandom(3);

  @BeforeEach
  void hasLibrary() {
    assumeTrue(
        System.getProperty("os.name").equals("Linux")
            && System.getProperty("os.arch").equals("amd64"),
        "the library is for Linux on x86-64");
  }

  @Test
  void isCompiledFromTheSources() throws IOException, NoSuchAlgorithmException {
    ByteArrayOutputStream sources = new ByteArrayOutputStream();
    for (String file :
        List.of(
            "features.c",
            "guard.h",
            "guard.c",
            "vector.h",
            "panel.h",
            "unquantise.h",
            "attention.c",
            "brain.c",
            "dots.c",
            "product.c",
            "quantised.c")) {
      sources.write(Files.readAllBytes(Path.of("src/main/c", file)));
    }
    byte[] hash = MessageDigest.getInstance("SHA-256").digest(sources.toByteArray());
    assertThat(new String(CpuLibrary.resource(), StandardCharsets.ISO_8859_1))
        .as("linux-x86_64.so is not current: run kernels/build-cpu.sh")
        .contains("sha256 " + HexFormat.of().formatHex(hash));
  }

  @Test
  void elsewhereThereIsNone() {
    assertThatThrownBy(() -> CpuLibrary.load("Mac OS X", "aarch64", true))
        .isInstanceOf(MissingLibraryException.class)
        .hasMessage("there are none for Mac OS X on aarch64");
  }

  private static CpuLibrary library(boolean wide) {
    try {
      return CpuLibrary.load("Linux", "amd64", wide);
    } catch (MissingLibraryException e) {
      assumeTrue(false, e.getMessage());
      throw e;
    }
  }

  private float[] floats(int n) {
    float[] out = new float[n];
    for (int i = 0; i < n; i++) {
      out[i] = (float) random.nextGaussian();
    }
    return out;
  }

  /** Rows of floats {@code stride} from each other, with nothing that counts in between. */
  private static MemorySegment apart(Arena arena, float[] x, int rows, int width, int stride) {
    MemorySegment out = arena.allocate(4L * rows * stride, 4);
    for (int i = 0; i < rows * stride; i++) {
      int column = i % stride;
      float value = column < width ? x[i / stride * width + column] : Float.NaN;
      out.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
    return out;
  }

  private static MemorySegment guarded(Arena arena, int n) {
    MemorySegment out = arena.allocate(4L * n, 4);
    for (int i = 0; i < n; i++) {
      out.setAtIndex(ValueLayout.JAVA_FLOAT, i, GUARD);
    }
    return out;
  }

  @ParameterizedTest
  @EnumSource
  void dots(Element type) {
    dots(type, library(true));
    dots(type, library(false));
  }

  private void dots(Element type, CpuLibrary library) {
    for (int k : new int[] {1, 15, 33, 64, 257}) {
      for (int n : new int[] {1, 7, 8, 21}) {
        float[] w = floats(n * k);
        try (Arena arena = Arena.ofConfined()) {
          MemorySegment weights = arena.allocate((long) n * k * type.bytes(), 4);
          for (int i = 0; i < n * k; i++) {
            w[i] = store(type, weights, i, w[i]);
          }
          for (int m : new int[] {1, 2, 3, 4, 6, 7, 17}) {
            float[] x = floats(m * k);
            MemorySegment rows = arena.allocateFrom(ValueLayout.JAVA_FLOAT, x);
            MemorySegment out = guarded(arena, m * (n + 1));
            library.dots(
                type,
                rows.address(),
                m,
                weights.address(),
                (long) k * type.bytes(),
                n,
                k,
                out.address(),
                n + 1L);
            check(out, x, w, m, n, k, 0);
          }
        }
      }
    }
  }

  /** Blocks of products of many rows, begun and gone on with, both layouts of weights. */
  @ParameterizedTest
  @EnumSource
  void products(Element type) {
    for (boolean wide : new boolean[] {true, false}) {
      CpuLibrary library = library(wide);
      for (int n : new int[] {1, 15, 16, 17, library.blockColumns()}) {
        if (n <= library.blockColumns()) {
          for (int k : new int[] {1, 16, 33, 70}) {
            products(library, type, n, k, false);
            products(library, type, n, k, true);
          }
        }
      }
    }
  }

  private void products(CpuLibrary library, Element type, int n, int k, boolean byColumns) {
    int m = 31; // every height of a tile, and three tiles
    float[] x = floats(m * k);
    float[] w = floats(n * k);
    float[] bias = floats(n);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment weights = arena.allocate((long) n * k * type.bytes(), 4);
      for (int j = 0; j < n; j++) {
        for (int c = 0; c < k; c++) {
          w[j * k + c] = store(type, weights, byColumns ? c * n + j : j * k + c, w[j * k + c]);
        }
      }
      MemorySegment rows = apart(arena, x, m, k, k + 3);
      MemorySegment biases = arena.allocateFrom(ValueLayout.JAVA_FLOAT, bias);
      MemorySegment panel = arena.allocate(4 * library.panel(k), 64);
      MemorySegment whole = guarded(arena, m * (n + 1));
      long rowBytes = (long) (byColumns ? n : k) * type.bytes();
      for (int count = 1; count <= m; count++) {
        MemorySegment out = guarded(arena, count * (n + 1));
        for (int round = 0; round < 2; round++) {
          library.product(
              type,
              rows.address(),
              k + 3L,
              count,
              k,
              weights.address(),
              rowBytes,
              byColumns,
              n,
              panel.address(),
              out.address(),
              n + 1L,
              round > 0,
              round > 0 ? biases.address() : 0,
              false,
              weights.address(),
              k);
          if (round == 0) {
            check(out, x, w, count, n, k, 0);
          }
        }
        for (int i = 0; i < count; i++) {
          for (int j = 0; j < n; j++) {
            double sum = bias[j];
            double allowed = 1e-6 * Math.abs(sum);
            for (int c = 0; c < k; c++) {
              double product = (double) x[i * k + c] * w[j * k + c];
              sum += 2 * product;
              allowed += 2e-6 * Math.abs(product);
            }
            assertThat((double) out.getAtIndex(ValueLayout.JAVA_FLOAT, i * (n + 1L) + j))
                .isCloseTo(sum, within(allowed));
          }
        }
        // The rows that came before have the same bits among more rows.
        if (count > 1) {
          long shorter = 4L * (count - 1) * (n + 1);
          assertThat(out.asSlice(0, shorter).mismatch(whole.asSlice(0, shorter))).isEqualTo(-1);
        }
        MemorySegment.copy(out, 0, whole, 0, out.byteSize());
      }
    }
  }

  private static float store(Element type, MemorySegment to, int i, float value) {
    switch (type) {
      case F32 -> to.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      case F16 -> {
        short half = Float.floatToFloat16(value);
        to.setAtIndex(ValueLayout.JAVA_SHORT, i, half);
        return Float.float16ToFloat(half);
      }
      case BF16 -> {
        int bits = Float.floatToRawIntBits(value) & 0xffff0000;
        to.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (bits >>> 16));
        return Float.intBitsToFloat(bits);
      }
    }
    return value;
  }

  /**
   * Rows of n products and a guard.
   *
   * @param lost what an element of x may lose, as a part of its row's largest
   */
  private static void check(
      MemorySegment out, float[] x, float[] w, int m, int n, int k, double lost) {
    for (int i = 0; i < m; i++) {
      float largest = 0;
      for (int c = 0; c < k; c++) {
        largest = Math.max(largest, Math.abs(x[i * k + c]));
      }
      for (int j = 0; j < n; j++) {
        double sum = 0;
        double allowed = 1e-12;
        for (int c = 0; c < k; c++) {
          double product = (double) x[i * k + c] * w[j * k + c];
          sum += product;
          allowed += 1e-6 * Math.abs(product) + lost * largest * Math.abs(w[j * k + c]);
        }
        assertThat((double) out.getAtIndex(ValueLayout.JAVA_FLOAT, i * (n + 1L) + j))
            .as("row %d of %d, column %d of %d, %d long", i, m, j, n, k)
            .isCloseTo(sum, within(allowed));
      }
      assertThat(out.getAtIndex(ValueLayout.JAVA_FLOAT, i * (n + 1L) + n)).isEqualTo(GUARD);
    }
  }

  /** One element is a thousand times the others: they keep their worth beside it. */
  @Test
  void bytesWithAnOutlier() {
    CpuLibrary library = library(true);
    assumeTrue(library.hasQuantised(), "the processor has no AVX-512 VNNI");
    for (int k : new int[] {1, 63, 64, 65, 200, 2048}) {
      int m = 3;
      int n = 21;
      float[] x = floats(m * k);
      float[] w = new float[n * k];
      float[] scales = floats(n);
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment weights = arena.allocate((long) n * k);
        MemorySegment factors = arena.allocateFrom(ValueLayout.JAVA_FLOAT, scales);
        for (int i = 0; i < n * k; i++) {
          byte value = (byte) random.nextInt(-128, 128);
          weights.set(ValueLayout.JAVA_BYTE, i, value);
          w[i] = value * scales[i / k];
        }
        MemorySegment arranged = arena.allocate(4 * CpuLibrary.arrangedForBytes(m, k), 64);
        float[] at = x.clone();
        at[k / 2] *= 1000;
        MemorySegment rows = arena.allocateFrom(ValueLayout.JAVA_FLOAT, at);
        library.arrangeForBytes(rows.address(), k, m, k, arranged.address());
        MemorySegment out = guarded(arena, m * (n + 1));
        library.dotsOfBytes(
            arranged.address(),
            m,
            weights.address(),
            factors.address(),
            n,
            k,
            out.address(),
            n + 1L);
        check(out, at, w, m, n, k, Math.scalb(1.0, -24));
      }
    }
  }

  @Test
  void whatIsNoNumberStaysNone() {
    CpuLibrary library = library(true);
    assumeTrue(library.hasQuantised(), "the processor has no AVX-512 VNNI");
    int k = 70;
    for (float special :
        new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 0, 1e-40f}) {
      float[] x = new float[k];
      x[69] = special;
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment weights = arena.allocate(k);
        weights.fill((byte) 3);
        MemorySegment factors = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1f);
        MemorySegment rows = arena.allocateFrom(ValueLayout.JAVA_FLOAT, x);
        MemorySegment arranged = arena.allocate(4 * CpuLibrary.arrangedForBytes(1, k), 64);
        library.arrangeForBytes(rows.address(), k, 1, k, arranged.address());
        MemorySegment out = guarded(arena, 1);
        library.dotsOfBytes(
            arranged.address(), 1, weights.address(), factors.address(), 1, k, out.address(), 1);
        float result = out.get(ValueLayout.JAVA_FLOAT, 0);
        if (Float.isFinite(special)) {
          assertThat(result).isZero();
        } else {
          assertThat(result).isNaN();
        }
      }
    }
  }

  /** A file that is cut short while it is mapped, read by both kinds of code in turns. */
  @Test
  void aPageThatIsNotThereAnyMoreIsAnError(@TempDir Path folder) throws IOException {
    CpuLibrary library = library(true);
    int k = 1 << 14;
    try (Arena arena = Arena.ofConfined();
        FileChannel file =
            FileChannel.open(
                folder.resolve("weights"),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
      MemorySegment mapped = file.map(FileChannel.MapMode.READ_WRITE, 0, 4L * k, arena);
      MemorySegment x = arena.allocate(4L * k, 64);
      MemorySegment out = guarded(arena, 2);
      for (int round = 0; round < 3; round++) {
        library.dots(Element.F32, x.address(), 1, mapped.address(), 4L * k, 1, k, out.address(), 1);
        assertThat(out.getAtIndex(ValueLayout.JAVA_FLOAT, 0)).isZero();
        file.truncate(8192);
        assertThatThrownBy(
                () ->
                    library.dots(
                        Element.F32,
                        x.address(),
                        1,
                        mapped.address(),
                        4L * k,
                        1,
                        k,
                        out.address(),
                        1))
            .isInstanceOf(InternalError.class);
        MemorySegment panel = arena.allocate(4 * library.panel(k), 64);
        assertThatThrownBy(
                () ->
                    library.product(
                        Element.F32,
                        x.address(),
                        k,
                        1,
                        k,
                        mapped.address(),
                        4L * k,
                        false,
                        1,
                        panel.address(),
                        out.address(),
                        1,
                        false,
                        0,
                        false,
                        0,
                        0))
            .isInstanceOf(InternalError.class);
        assertThatThrownBy(() -> mapped.get(ValueLayout.JAVA_FLOAT, 4L * k - 4))
            .isInstanceOf(InternalError.class);
        file.write(ByteBuffer.wrap(new byte[1]), 4L * k - 1);
      }
    }
  }
}
