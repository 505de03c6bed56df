package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ADD;
import static jdk.incubator.vector.VectorOperators.AND;
import static jdk.incubator.vector.VectorOperators.LSHL;

import io.minigpt4.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link Kernels#dots} and conversions: streaming weights from memory. Four rows of weights go
 * together: one core of today reads memory faster in four streams than in one, and the vector of x
 * is loaded once for them.
 */
final class VectorDots {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /**
   * Elements of each of four rows that are converted at a time, to stay in the first-level cache.
   */
  private static final int CHUNK = 1024;

  private VectorDots() {}

  static int scratch(int k) {
    return 4 * Math.min(k, CHUNK) + 4;
  }

  private static FloatVector load(long address) {
    return FloatVector.fromMemorySegment(SPECIES, Memory.ALL, address, ORDER);
  }

  private static IntVector loadInts(long address) {
    return IntVector.fromMemorySegment(INTS, Memory.ALL, address, ORDER);
  }

  static void dots(
      DType type,
      float[] x,
      int m,
      long w,
      long wStride,
      int n,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    long rowBytes = wStride * type.bytes();
    for (int j = 0; j < n; j += 4) {
      int rows = Math.min(4, n - j);
      long first = w + j * rowBytes;
      if (m > 1 || type == DType.F16) {
        dotConverted(type, x, m, first, rowBytes, rows, k, out + 4L * j, outStride, scratch);
      } else if (rows == 4) {
        dotStreams(type, x, first, rowBytes, k, scratch);
        for (int r = 0; r < 4; r++) {
          Memory.setFloat(out + 4L * (j + r), scratch[r]);
        }
      } else {
        for (int r = 0; r < rows; r++) {
          dotStreams(type, x, first + r * rowBytes, 0, k, scratch);
          Memory.setFloat(out + 4L * (j + r), scratch[0]);
        }
      }
    }
  }

  private static void dotStreams(
      DType type, float[] x, long w, long rowBytes, int k, float[] results) {
    if (type == DType.F32) {
      dotFloat(x, w, rowBytes, k, results);
    } else {
      dotBrain(x, w, rowBytes, k, results);
    }
  }

  private static void dotFloat(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    int bound = SPECIES.loopBound(k);
    for (int i = 0; i < bound; i += N) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, i);
      a = load(w + 4L * i).fma(v, a);
      b = load(w1 + 4L * i).fma(v, b);
      c = load(w2 + 4L * i).fma(v, c);
      d = load(w3 + 4L * i).fma(v, d);
    }
    results[0] = a.reduceLanes(ADD);
    results[1] = b.reduceLanes(ADD);
    results[2] = c.reduceLanes(ADD);
    results[3] = d.reduceLanes(ADD);
    for (int r = 0; r < 4; r++) {
      for (int i = bound; i < k; i++) {
        results[r] += x[i] * Memory.getFloat(w + r * rowBytes + 4L * i);
      }
    }
  }

  /**
   * Bfloat16: an int holds two elements, of which the odd one needs its lower half cleared and the
   * even one a shift; {@link #arrange} has put even and odd elements of x apart. Whole vectors are
   * loaded, which halves the number of loads that wait for memory.
   */
  private static void dotBrain(float[] x, long w, long rowBytes, int k, float[] results) {
    long w1 = w + rowBytes;
    long w2 = w1 + rowBytes;
    long w3 = w2 + rowBytes;
    int half = k / 2;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    int bound = SPECIES.loopBound(half);
    for (int i = 0; i < bound; i += N) {
      FloatVector even = FloatVector.fromArray(SPECIES, x, i);
      FloatVector odd = FloatVector.fromArray(SPECIES, x, half + i);
      IntVector p = loadInts(w + 4L * i);
      a = odd(p).fma(odd, even(p).fma(even, a));
      IntVector q = loadInts(w1 + 4L * i);
      b = odd(q).fma(odd, even(q).fma(even, b));
      IntVector s = loadInts(w2 + 4L * i);
      c = odd(s).fma(odd, even(s).fma(even, c));
      IntVector t = loadInts(w3 + 4L * i);
      d = odd(t).fma(odd, even(t).fma(even, d));
    }
    results[0] = a.reduceLanes(ADD);
    results[1] = b.reduceLanes(ADD);
    results[2] = c.reduceLanes(ADD);
    results[3] = d.reduceLanes(ADD);
    for (int r = 0; r < 4; r++) {
      long row = w + r * rowBytes;
      for (int i = bound; i < half; i++) {
        results[r] += x[i] * brain(row + 4L * i) + x[half + i] * brain(row + 4L * i + 2);
      }
      if (k % 2 != 0) {
        results[r] += x[k - 1] * brain(row + 2L * (k - 1));
      }
    }
  }

  private static FloatVector even(IntVector pairs) {
    return pairs.lanewise(LSHL, 16).reinterpretAsFloats();
  }

  private static FloatVector odd(IntVector pairs) {
    return pairs.lanewise(AND, 0xffff0000).reinterpretAsFloats();
  }

  private static float brain(long address) {
    return Float.intBitsToFloat(Memory.getShort(address) << 16);
  }

  /** Up to four rows against m rows of x: the weights are converted once, chunk by chunk. */
  private static void dotConverted(
      DType type,
      float[] x,
      int m,
      long w,
      long rowBytes,
      int rows,
      int k,
      long out,
      long outStride,
      float[] scratch) {
    for (int from = 0; from < k; from += CHUNK) {
      int length = Math.min(CHUNK, k - from);
      for (int r = 0; r < 4; r++) {
        // Of fewer than four rows the last stands in for the missing ones.
        long row = w + Math.min(r, rows - 1) * rowBytes;
        toFloats(type, row + (long) from * type.bytes(), scratch, 4 + r * length, length);
      }
      for (int i = 0; i < m; i++) {
        dotArrays(x, i * k + from, scratch, 4, length, length, scratch);
        long to = out + 4L * i * outStride;
        for (int r = 0; r < rows; r++) {
          float before = from == 0 ? 0 : Memory.getFloat(to + 4L * r);
          Memory.setFloat(to + 4L * r, before + scratch[r]);
        }
      }
    }
  }

  /** results[r] = Σ_c x[xAt + c] · w[wAt + r · wStride + c] for r &lt; 4, c &lt; k. */
  static void dotArrays(
      float[] x, int xAt, float[] w, int wAt, int wStride, int k, float[] results) {
    int w1 = wAt + wStride;
    int w2 = w1 + wStride;
    int w3 = w2 + wStride;
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    int bound = SPECIES.loopBound(k);
    for (int i = 0; i < bound; i += N) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, xAt + i);
      a = FloatVector.fromArray(SPECIES, w, wAt + i).fma(v, a);
      b = FloatVector.fromArray(SPECIES, w, w1 + i).fma(v, b);
      c = FloatVector.fromArray(SPECIES, w, w2 + i).fma(v, c);
      d = FloatVector.fromArray(SPECIES, w, w3 + i).fma(v, d);
    }
    results[0] = a.reduceLanes(ADD);
    results[1] = b.reduceLanes(ADD);
    results[2] = c.reduceLanes(ADD);
    results[3] = d.reduceLanes(ADD);
    for (int r = 0; r < 4; r++) {
      for (int i = bound; i < k; i++) {
        results[r] += x[xAt + i] * w[wAt + r * wStride + i];
      }
    }
  }

  /** Even elements, then odd ones, then the last of an odd number, where dots wants that. */
  static void arrange(DType type, long x, long xStride, int m, int k, float[] to) {
    for (int i = 0; i < m; i++) {
      long row = x + 4L * i * xStride;
      if (type == DType.BF16 && m == 1) {
        int half = k / 2;
        for (int c = 0; c < half; c++) {
          to[c] = Memory.getFloat(row + 8L * c);
          to[half + c] = Memory.getFloat(row + 8L * c + 4);
        }
        if (k % 2 != 0) {
          to[k - 1] = Memory.getFloat(row + 4L * (k - 1));
        }
      } else {
        toFloats(DType.F32, row, to, i * k, k);
      }
    }
  }

  static void toFloats(DType type, long from, float[] to, int at, int n) {
    switch (type) {
      case F32 -> MemorySegment.copy(Memory.ALL, Memory.FLOAT, from, to, at, n);
      case F16 -> halfToFloats(from, to, at, n);
      case BF16 -> brainToFloats(from, to, at, n);
      default -> throw new IllegalArgumentException("not an arithmetic type here: " + type);
    }
  }

  /** C2 vectorises this loop with the processor's own conversion, which the Vector API lacks. */
  private static void halfToFloats(long from, float[] to, int at, int n) {
    for (int i = 0; i < n; i++) {
      to[at + i] = Float.float16ToFloat(Memory.getShort(from + 2L * i));
    }
  }

  private static void brainToFloats(long from, float[] to, int at, int n) {
    int bound = SPECIES.loopBound(n);
    for (int i = 0; i < bound; i += N) {
      VectorBrain.load(from + 2L * i).intoArray(to, at + i);
    }
    for (int i = bound; i < n; i++) {
      to[at + i] = brain(from + 2L * i);
    }
  }
}
