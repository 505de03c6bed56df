package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.ADD;
import static jdk.incubator.vector.VectorOperators.B2F;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.ROL;
import static jdk.incubator.vector.VectorOperators.ROR;
import static jdk.incubator.vector.VectorOperators.ZERO_EXTEND_S2I;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import java.nio.ByteOrder;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@link QuantisedKernels} with the Vector API, in float32 arithmetic: x is not quantised, so that
 * outliers in it cost no precision.
 *
 * <p>One row of x, Q8: bytes become floats by the processor's conversions, eight rows of weights at
 * a time, each a stream of its own. What decides is the number of streams: the prefetcher works
 * within pages, and while one stream begins a new page the others go on (one stream 48 % of the
 * bandwidth of a core, four 72 %, eight 75 to 80 %).
 *
 * <p>One row of x, Q4: a nibble in the upper bits of a mantissa makes a float of 1 + q/16 (or 1 +
 * q/256, four bits lower) by one instruction that cuts it out and sets the exponent; conversion
 * from integers would take two. Two nibbles lie right after each rotation by a byte. What is too
 * much, the ones and the zero point, is the same for all rows of weights and is taken off x once
 * ({@link #arrange}). That makes 19 instructions for a line of 128 weights. The loop within a block
 * counts in no way that C2 knows: it would cut a counted loop of four rounds into three loops, at a
 * quarter of the speed. Everything is written out, because C2 inlines no method of ours when it has
 * as many vector operations as here, and boxes vectors instead.
 */
final class VectorQuantised implements QuantisedKernels {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final int N = SPECIES.length();
  private static final VectorSpecies<Short> SHORTS =
      VectorSpecies.of(short.class, VectorShape.forBitSize(Math.max(64, 16 * N)));
  private static final VectorSpecies<Byte> BYTES =
      VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, 8 * N)));
  private static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

  /** Vectors that the sixteen words of a line make. */
  private static final int PARTS = Quantised.LANES / N;

  /** Where a float32 has the upper four bits of its mantissa, and the four below. */
  private static final int UPPER = 0x0078_0000;

  private static final int LOWER = 0x0007_8000;

  /** The exponent of 1. */
  private static final int ONE = 0x3f80_0000;

  /** What the windows divide nibbles by. */
  private static final float UPPER_SCALE = 16;

  private static final float LOWER_SCALE = 256;

  /**
   * Which nibble is in a window: the upper one of the word as it lies, the lower one, the upper one
   * after a rotation by eight bits to the left, and so on.
   */
  private static final int[] WINDOWS = {4, 3, 2, 1, 0, 7, 6, 5};

  /** Rows of weights that Q8 reads side by side. */
  private static final int STREAMS = 8;

  /** As in {@link VectorDots}: elements that are converted at a time; whole lines of Q4. */
  private static final int CHUNK = 1024;

  @Override
  public long arranged(QuantisedRows w, int m) {
    if (w.type() == DType.Q8 || m > 1) {
      return (long) m * w.width();
    }
    return (long) w.blocks() * Quantised.LANES * (w.group() + 1);
  }

  @Override
  public void arrange(QuantisedRows w, long x, long xStride, int m, float[] to) {
    if (w.type() == DType.Q8 || m > 1) {
      VectorDots.arrange(DType.F32, x, xStride, m, w.width(), to);
      return;
    }
    int corrections = w.blocks() * Quantised.LANES * w.group();
    int at = 0;
    for (int i = 0; i < w.blocks() * PARTS; i++) {
      int first = i / PARTS * Quantised.LANES * w.group() + i % PARTS * N;
      FloatVector tooMuch = FloatVector.zero(SPECIES);
      for (int line = 0; line < w.group() / 8; line++) {
        for (int window = 0; window < WINDOWS.length; window++) {
          int element = first + line * Quantised.LINE + WINDOWS[window] * Quantised.LANES;
          float scale = window % 2 == 0 ? UPPER_SCALE : LOWER_SCALE;
          FloatVector values = loadUpTo(x, element, w.width());
          values.mul(scale).intoArray(to, at);
          tooMuch = values.fma(FloatVector.broadcast(SPECIES, scale + Quantised.ZERO), tooMuch);
          at += N;
        }
      }
      tooMuch.neg().intoArray(to, corrections + i * N);
    }
  }

  /** Elements from {@code element} on, zeros from {@code width} on. */
  private static FloatVector loadUpTo(long x, int element, int width) {
    if (element + N <= width) {
      return FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * element, ORDER);
    }
    VectorMask<Float> inside = SPECIES.indexInRange(element, width);
    return FloatVector.fromMemorySegment(SPECIES, Memory.ALL, x + 4L * element, ORDER, inside);
  }

  @Override
  public void dots(
      QuantisedRows w,
      float[] x,
      int m,
      long row,
      int n,
      long out,
      long outStride,
      float[] scratch) {
    if (m > 1) {
      for (int j = 0; j < n; j += 4) {
        dotConverted(w, x, m, row + j, Math.min(4, n - j), out + 4L * j, outStride, scratch);
      }
      return;
    }
    int streams = w.type() == DType.Q8 ? STREAMS : 4;
    int each = n / streams;
    for (int j = 0; j < each; j++) {
      dotStreams(w, x, row + j, each, scratch);
      for (int r = 0; r < streams; r++) {
        Memory.setFloat(out + 4L * (j + r * each), scratch[r]);
      }
    }
    for (int j = streams * each; j < n; j++) {
      dotStreams(w, x, row + j, 0, scratch);
      Memory.setFloat(out + 4L * j, scratch[0]);
    }
  }

  /** One row of x by several rows of w, which are {@code apart} rows from each other. */
  private static void dotStreams(QuantisedRows w, float[] x, long row, int apart, float[] results) {
    if (w.type() == DType.Q8) {
      dotBytes(x, w.row(row), apart * w.rowBytes(), w.width(), results);
      for (int r = 0; r < STREAMS; r++) {
        results[r] *= Memory.getFloat(w.scales(row + (long) r * apart));
      }
    } else {
      dotNibbles(
          x,
          w.row(row),
          apart * w.rowBytes(),
          w.scales(row),
          apart * w.scaleBytes(),
          w.blocks(),
          w.group(),
          results);
    }
  }

  private static void dotBytes(float[] x, long w, long rowBytes, int k, float[] results) {
    FloatVector a = FloatVector.zero(SPECIES);
    FloatVector b = FloatVector.zero(SPECIES);
    FloatVector c = FloatVector.zero(SPECIES);
    FloatVector d = FloatVector.zero(SPECIES);
    FloatVector e = FloatVector.zero(SPECIES);
    FloatVector f = FloatVector.zero(SPECIES);
    FloatVector g = FloatVector.zero(SPECIES);
    FloatVector h = FloatVector.zero(SPECIES);
    // A vector of bytes may be longer than one of floats is wide, and nothing lies behind the last.
    int bound = k < BYTES.length() ? 0 : SPECIES.loopBound(k - (BYTES.length() - N));
    for (int i = 0; i < bound; i += N) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, i);
      a = load(w + i).fma(v, a);
      b = load(w + rowBytes + i).fma(v, b);
      c = load(w + 2 * rowBytes + i).fma(v, c);
      d = load(w + 3 * rowBytes + i).fma(v, d);
      e = load(w + 4 * rowBytes + i).fma(v, e);
      f = load(w + 5 * rowBytes + i).fma(v, f);
      g = load(w + 6 * rowBytes + i).fma(v, g);
      h = load(w + 7 * rowBytes + i).fma(v, h);
    }
    results[0] = a.reduceLanes(ADD);
    results[1] = b.reduceLanes(ADD);
    results[2] = c.reduceLanes(ADD);
    results[3] = d.reduceLanes(ADD);
    results[4] = e.reduceLanes(ADD);
    results[5] = f.reduceLanes(ADD);
    results[6] = g.reduceLanes(ADD);
    results[7] = h.reduceLanes(ADD);
    for (int i = bound; i < k; i++) {
      for (int r = 0; r < STREAMS; r++) {
        results[r] += x[i] * Memory.getByte(w + r * rowBytes + i);
      }
    }
  }

  private static FloatVector load(long address) {
    return (FloatVector)
        ByteVector.fromMemorySegment(BYTES, Memory.ALL, address, ORDER)
            .convertShape(B2F, SPECIES, 0);
  }

  private static void dotNibbles(
      float[] x,
      long w,
      long rowBytes,
      long scales,
      long scaleBytes,
      int blocks,
      int group,
      float[] results) {
    FloatVector aSum = FloatVector.zero(SPECIES);
    FloatVector bSum = FloatVector.zero(SPECIES);
    FloatVector cSum = FloatVector.zero(SPECIES);
    FloatVector dSum = FloatVector.zero(SPECIES);
    long blockBytes = 8L * group;
    int corrections = blocks * Quantised.LANES * group;
    int at = 0;
    for (int i = 0; i < blocks * PARTS; i++) {
      FloatVector a = FloatVector.fromArray(SPECIES, x, corrections + i * N);
      FloatVector b = a;
      FloatVector c = a;
      FloatVector d = a;
      long line = w + i / PARTS * blockBytes + i % PARTS * 4L * N;
      long end = line + blockBytes;
      do {
        FloatVector x0;
        IntVector aw = IntVector.fromMemorySegment(INTS, Memory.ALL, line, ORDER);
        IntVector bw = IntVector.fromMemorySegment(INTS, Memory.ALL, line + rowBytes, ORDER);
        IntVector cw = IntVector.fromMemorySegment(INTS, Memory.ALL, line + 2 * rowBytes, ORDER);
        IntVector dw = IntVector.fromMemorySegment(INTS, Memory.ALL, line + 3 * rowBytes, ORDER);
        x0 = FloatVector.fromArray(SPECIES, x, at);
        a = aw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, d);
        x0 = FloatVector.fromArray(SPECIES, x, at + 1 * N);
        a = aw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, d);
        aw = aw.lanewise(ROL, 8);
        bw = bw.lanewise(ROL, 8);
        cw = cw.lanewise(ROL, 8);
        dw = dw.lanewise(ROL, 8);
        x0 = FloatVector.fromArray(SPECIES, x, at + 2 * N);
        a = aw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, d);
        x0 = FloatVector.fromArray(SPECIES, x, at + 3 * N);
        a = aw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, d);
        aw = aw.lanewise(ROL, 8);
        bw = bw.lanewise(ROL, 8);
        cw = cw.lanewise(ROL, 8);
        dw = dw.lanewise(ROL, 8);
        x0 = FloatVector.fromArray(SPECIES, x, at + 4 * N);
        a = aw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, d);
        x0 = FloatVector.fromArray(SPECIES, x, at + 5 * N);
        a = aw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, d);
        aw = aw.lanewise(ROL, 8);
        bw = bw.lanewise(ROL, 8);
        cw = cw.lanewise(ROL, 8);
        dw = dw.lanewise(ROL, 8);
        x0 = FloatVector.fromArray(SPECIES, x, at + 6 * N);
        a = aw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(UPPER).or(ONE).reinterpretAsFloats().fma(x0, d);
        x0 = FloatVector.fromArray(SPECIES, x, at + 7 * N);
        a = aw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, a);
        b = bw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, b);
        c = cw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, c);
        d = dw.and(LOWER).or(ONE).reinterpretAsFloats().fma(x0, d);
        at += 8 * N;
        line += 64;
      } while (line != end);
      long factors = scales + 2L * N * i;
      FloatVector scale;
      scale =
          ShortVector.fromMemorySegment(SHORTS, Memory.ALL, factors, ORDER)
              .convertShape(ZERO_EXTEND_S2I, INTS, 0)
              .reinterpretAsInts()
              .lanewise(LSHL, 16)
              .reinterpretAsFloats();
      aSum = a.fma(scale, aSum);
      scale =
          ShortVector.fromMemorySegment(SHORTS, Memory.ALL, factors + scaleBytes, ORDER)
              .convertShape(ZERO_EXTEND_S2I, INTS, 0)
              .reinterpretAsInts()
              .lanewise(LSHL, 16)
              .reinterpretAsFloats();
      bSum = b.fma(scale, bSum);
      scale =
          ShortVector.fromMemorySegment(SHORTS, Memory.ALL, factors + 2 * scaleBytes, ORDER)
              .convertShape(ZERO_EXTEND_S2I, INTS, 0)
              .reinterpretAsInts()
              .lanewise(LSHL, 16)
              .reinterpretAsFloats();
      cSum = c.fma(scale, cSum);
      scale =
          ShortVector.fromMemorySegment(SHORTS, Memory.ALL, factors + 3 * scaleBytes, ORDER)
              .convertShape(ZERO_EXTEND_S2I, INTS, 0)
              .reinterpretAsInts()
              .lanewise(LSHL, 16)
              .reinterpretAsFloats();
      dSum = d.fma(scale, dSum);
    }
    results[0] = aSum.reduceLanes(ADD);
    results[1] = bSum.reduceLanes(ADD);
    results[2] = cSum.reduceLanes(ADD);
    results[3] = dSum.reduceLanes(ADD);
  }

  /** Up to four rows against m rows of x: the weights are converted once, chunk by chunk. */
  private void dotConverted(
      QuantisedRows w,
      float[] x,
      int m,
      long row,
      int rows,
      long out,
      long outStride,
      float[] scratch) {
    int k = w.width();
    for (int from = 0; from < k; from += CHUNK) {
      int length = Math.min(CHUNK, k - from);
      for (int r = 0; r < 4; r++) {
        // Of fewer than four rows the last stands in for the missing ones.
        toFloats(w, row + Math.min(r, rows - 1), from, length, scratch, 4 + r * length);
      }
      for (int i = 0; i < m; i++) {
        VectorDots.dotArrays(x, i * k + from, scratch, 4, length, length, scratch);
        long to = out + 4L * i * outStride;
        for (int r = 0; r < rows; r++) {
          float before = from == 0 ? 0 : Memory.getFloat(to + 4L * r);
          Memory.setFloat(to + 4L * r, before + scratch[r]);
        }
      }
    }
  }

  @Override
  public void toFloats(QuantisedRows w, long row, int from, int n, float[] to, int at) {
    int done;
    if (w.type() == DType.Q8) {
      done = bytesToFloats(w.row(row) + from, Memory.getFloat(w.scales(row)), n, to, at);
    } else {
      done = 0;
      int blockLines = w.group() / 8;
      while (from % Quantised.LINE == 0 && done + Quantised.LINE <= n) {
        int line = (from + done) / Quantised.LINE;
        long scales = w.scales(row) + 2L * Quantised.LANES * (line / blockLines);
        lineToFloats(w.row(row) + 64L * line, scales, to, at + done);
        done += Quantised.LINE;
      }
    }
    for (int i = done; i < n; i++) {
      to[at + i] = ScalarQuantised.element(w, row, from + i);
    }
  }

  /** Whole vectors; returns how many elements these are. */
  private static int bytesToFloats(long from, float scale, int n, float[] to, int at) {
    int bound = n < BYTES.length() ? 0 : SPECIES.loopBound(n - (BYTES.length() - N));
    for (int i = 0; i < bound; i += N) {
      load(from + i).mul(scale).intoArray(to, at + i);
    }
    return bound;
  }

  /** The 128 elements of a line. */
  private static void lineToFloats(long line, long scales, float[] to, int at) {
    for (int part = 0; part < PARTS; part++) {
      FloatVector scale =
          ShortVector.fromMemorySegment(SHORTS, Memory.ALL, scales + 2L * N * part, ORDER)
              .convertShape(ZERO_EXTEND_S2I, INTS, 0)
              .reinterpretAsInts()
              .lanewise(LSHL, 16)
              .reinterpretAsFloats();
      IntVector words =
          IntVector.fromMemorySegment(INTS, Memory.ALL, line + 4L * N * part, ORDER)
              .lanewise(ROR, Quantised.ROTATION);
      for (int nibble = 0; nibble < 8; nibble++) {
        FloatVector value =
            (FloatVector) words.and(15).sub(Quantised.ZERO).convertShape(I2F, SPECIES, 0);
        value.mul(scale).intoArray(to, at + nibble * Quantised.LANES + part * N);
        words = words.lanewise(ROR, 4);
      }
    }
  }
}
