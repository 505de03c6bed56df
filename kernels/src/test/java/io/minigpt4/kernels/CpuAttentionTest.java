package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.minigpt4.nativelib.MissingLibraryException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Attention of many rows and its backward pass, at both widths, against sums in float64. */
class CpuAttentionTest {
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT;
  private static final ValueLayout.OfShort HALF = ValueLayout.JAVA_SHORT;

  private final SplittableRandom random = new SplittableRandom(11);

  private static CpuLibrary library(boolean wide) {
    try {
      return CpuLibrary.load(System.getProperty("os.name"), System.getProperty("os.arch"), wide);
    } catch (MissingLibraryException e) {
      assumeTrue(false, e.getMessage());
      throw e;
    }
  }

  /** A matrix in memory whose rows lie apart, with what must not be read or written in between. */
  private final class Matrix {
    private final int rows;
    private final int width;
    private final int stride;
    private final Element type;
    private final MemorySegment memory;

    Matrix(Arena arena, int rows, int width, int stride, boolean filled) {
      this(arena, Element.F32, rows, width, stride, filled);
    }

    Matrix(Arena arena, Element type, int rows, int width, int stride, boolean filled) {
      this.rows = rows;
      this.width = width;
      this.stride = stride;
      this.type = type;
      this.memory = arena.allocate((long) type.bytes() * rows * stride, type.bytes());
      for (int i = 0; i < rows * stride; i++) {
        boolean gap = i % stride >= width || !filled;
        float value = gap ? Float.NaN : (float) random.nextGaussian();
        if (type == Element.F16) {
          memory.setAtIndex(HALF, i, Float.floatToFloat16(value));
        } else {
          memory.setAtIndex(FLOAT, i, value);
        }
      }
    }

    long at(int row, int column) {
      return memory.address() + (long) type.bytes() * (row * stride + column);
    }

    double get(int row, int column) {
      long i = row * (long) stride + column;
      return type == Element.F16
          ? Float.float16ToFloat(memory.getAtIndex(HALF, i))
          : memory.getAtIndex(FLOAT, i);
    }

    void gapsAreUntouched() {
      for (int i = 0; i < rows * stride; i++) {
        if (i % stride >= width) {
          assertThat(memory.getAtIndex(FLOAT, i)).isNaN();
        }
      }
    }
  }

  /** Addresses of the blocks of keys and values, block after block. */
  private static MemorySegment blocks(Arena arena, Matrix k, Matrix v, int step) {
    int count = (k.rows + step - 1) / step;
    MemorySegment list = arena.allocate(16L * count, 8);
    for (int i = 0; i < count; i++) {
      list.setAtIndex(ValueLayout.JAVA_LONG, 2L * i, k.at(i * step, 0));
      list.setAtIndex(ValueLayout.JAVA_LONG, 2L * i + 1, v.at(i * step, 0));
    }
    return list;
  }

  /** The probabilities of a row of queries over the first {@code seen} keys. */
  private static double[] probabilities(
      Matrix q, int row, int column, Matrix k, int seen, double scale) {
    double[] p = new double[seen];
    double max = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < seen; j++) {
      for (int d = 0; d < k.width; d++) {
        p[j] += scale * q.get(row, column + d) * k.get(j, d);
      }
      max = Math.max(max, p[j]);
    }
    double sum = 0;
    for (int j = 0; j < seen; j++) {
      p[j] = Math.exp(p[j] - max);
      sum += p[j];
    }
    for (int j = 0; j < seen; j++) {
      p[j] /= sum;
    }
    return p;
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 64, 0",
    "3, 5, 7, 4, 5",
    "31, 31, 20, 64, 0",
    "40, 100, 32, 64, 60",
    "29, 257, 88, 260, 257",
    "70, 130, 64, 96, 130",
    "9, 200, 33, 64, 191"
  })
  void forward(int rows, int keys, int dims, int step, int first) {
    for (boolean wide : new boolean[] {true, false}) {
      forward(library(wide), Element.F32, rows, keys, dims, step, first);
      forward(library(wide), Element.F16, rows, keys, dims, step, first);
    }
  }

  private void forward(
      CpuLibrary library, Element cached, int rows, int keys, int dims, int step, int first) {
    try (Arena arena = Arena.ofConfined()) {
      Matrix q = new Matrix(arena, rows, dims, dims + 5, true);
      Matrix k = new Matrix(arena, cached, keys, dims, dims, true);
      Matrix v = new Matrix(arena, cached, keys, dims, dims + 2, true);
      Matrix out = new Matrix(arena, rows, dims, dims + 3, false);
      float scale = 1.5f / (float) Math.sqrt(dims);
      attend(library, arena, q, 0, rows, k, v, step, scale, first, out);
      out.gapsAreUntouched();
      for (int r = 0; r < rows; r++) {
        double[] p = probabilities(q, r, 0, k, Math.min(keys, first + r + 1), scale);
        for (int d = 0; d < dims; d++) {
          double sum = 0;
          for (int j = 0; j < p.length; j++) {
            sum += p[j] * v.get(j, d);
          }
          assertThat(out.get(r, d)).as("row %s, %s", r, d).isCloseTo(sum, within(1e-5));
        }
      }
      // The last rows alone have the same bits.
      int from = rows / 2;
      Matrix part = new Matrix(arena, rows, dims, dims + 3, false);
      attend(library, arena, q, from, rows, k, v, step, scale, first + from, part);
      long bytes = 4L * from * part.stride;
      assertThat(part.memory.asSlice(bytes).mismatch(out.memory.asSlice(bytes))).isEqualTo(-1);
    }
  }

  private static void attend(
      CpuLibrary library,
      Arena arena,
      Matrix q,
      int from,
      int to,
      Matrix k,
      Matrix v,
      int step,
      float scale,
      int first,
      Matrix out) {
    long floats = library.attentionScratch(to - from, k.width, step);
    MemorySegment scratch = arena.allocate(4 * floats, 64);
    library.attention(
        k.type,
        q.at(from, 0),
        q.stride,
        to - from,
        k.width,
        scale,
        blocks(arena, k, v, step).address(),
        k.stride,
        v.stride,
        step,
        Math.min(k.rows, first + to - from),
        first,
        out.at(from, 0),
        out.stride,
        scratch.address());
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "15, 20, 1", "64, 32, 2", "100, 88, 1", "131, 128, 3", "16, 16, 1"})
  void oneRow(int keys, int dims, int group) {
    for (boolean wide : new boolean[] {true, false}) {
      oneRow(library(wide), Element.F32, keys, dims, group);
      oneRow(library(wide), Element.F16, keys, dims, group);
    }
  }

  private void oneRow(CpuLibrary library, Element cached, int keys, int dims, int group) {
    try (Arena arena = Arena.ofConfined()) {
      int step = 64;
      Matrix q = new Matrix(arena, 1, group * dims, group * dims + 1, true);
      Matrix k = new Matrix(arena, cached, keys, dims, dims, true);
      Matrix v = new Matrix(arena, cached, keys, dims, dims, true);
      Matrix out = new Matrix(arena, 1, group * dims, group * dims + 16, false);
      float scale = 1.5f / (float) Math.sqrt(dims);
      MemorySegment scratch = arena.allocate(4 * CpuLibrary.attentionRowScratch(dims, keys), 64);
      library.attentionRow(
          cached,
          q.at(0, 0),
          dims,
          group,
          scale,
          blocks(arena, k, v, step).address(),
          step,
          keys,
          out.at(0, 0),
          scratch.address());
      out.gapsAreUntouched();
      for (int column = 0; column < group * dims; column += dims) {
        double[] p = probabilities(q, 0, column, k, keys, scale);
        for (int d = 0; d < dims; d++) {
          double sum = 0;
          for (int j = 0; j < keys; j++) {
            sum += p[j] * v.get(j, d);
          }
          assertThat(out.get(0, column + d)).isCloseTo(sum, within(1e-5));
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "2, 8, 3", "53, 64, 1", "64, 20, 2", "150, 40, 2"})
  void backward(int rows, int dims, int group) {
    for (boolean wide : new boolean[] {true, false}) {
      CpuLibrary library = library(wide);
      try (Arena arena = Arena.ofConfined()) {
        int width = group * dims;
        int step = 64;
        Matrix q = new Matrix(arena, rows, width, width + 5, true);
        Matrix slope = new Matrix(arena, rows, width, width + 1, true);
        Matrix k = new Matrix(arena, rows, dims, dims, true);
        Matrix v = new Matrix(arena, rows, dims, dims, true);
        Matrix dq = new Matrix(arena, rows, width, width + 3, false);
        Matrix dk = new Matrix(arena, rows, dims, dims + 4, false);
        Matrix dv = new Matrix(arena, rows, dims, dims + 6, false);
        float scale = 1 / (float) Math.sqrt(dims);
        long floats = library.attentionBackwardScratch(rows, dims, step);
        MemorySegment scratch = arena.allocate(4 * floats, 64);
        library.attentionBackward(
            q.at(0, 0),
            q.stride,
            slope.at(0, 0),
            slope.stride,
            rows,
            dims,
            group,
            scale,
            blocks(arena, k, v, step).address(),
            step,
            dq.at(0, 0),
            dq.stride,
            dk.at(0, 0),
            dk.stride,
            dv.at(0, 0),
            dv.stride,
            scratch.address());
        for (Matrix result : new Matrix[] {dq, dk, dv}) {
          result.gapsAreUntouched();
        }
        checkSlopes(q, slope, k, v, scale, group, dq, dk, dv);
      }
    }
  }

  private static void checkSlopes(
      Matrix q,
      Matrix slope,
      Matrix k,
      Matrix v,
      double scale,
      int group,
      Matrix dq,
      Matrix dk,
      Matrix dv) {
    int rows = k.rows;
    int dims = k.width;
    double[][] keys = new double[rows][dims];
    double[][] values = new double[rows][dims];
    for (int column = 0; column < group * dims; column += dims) {
      for (int r = 0; r < rows; r++) {
        double[] p = probabilities(q, r, column, k, r + 1, scale);
        double[] dp = new double[r + 1];
        double mean = 0;
        for (int j = 0; j <= r; j++) {
          for (int d = 0; d < dims; d++) {
            dp[j] += slope.get(r, column + d) * v.get(j, d);
            values[j][d] += p[j] * slope.get(r, column + d);
          }
          mean += p[j] * dp[j];
        }
        double[] query = new double[dims];
        for (int j = 0; j <= r; j++) {
          double ds = scale * p[j] * (dp[j] - mean);
          for (int d = 0; d < dims; d++) {
            query[d] += ds * k.get(j, d);
            keys[j][d] += ds * q.get(r, column + d);
          }
        }
        for (int d = 0; d < dims; d++) {
          assertThat(dq.get(r, column + d)).as("dq").isCloseTo(query[d], within(5e-5));
        }
      }
    }
    for (int j = 0; j < rows; j++) {
      for (int d = 0; d < dims; d++) {
        assertThat(dk.get(j, d)).as("dk").isCloseTo(keys[j][d], within(5e-5));
        assertThat(dv.get(j, d)).as("dv").isCloseTo(values[j][d], within(5e-5));
      }
    }
  }
}
