package io.minigpt4.cpu;

import static jdk.incubator.vector.VectorOperators.B2F;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;
import static jdk.incubator.vector.VectorOperators.ROL;
import static jdk.incubator.vector.VectorOperators.ROR;
import static jdk.incubator.vector.VectorOperators.ZERO_EXTEND_S2I;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import java.lang.foreign.MemorySegment;
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
 * <p>Each row of x is multiplied in the same way, whether it is alone or not: to convert weights
 * once for several rows pays from thirty rows on and gives other last bits.
 *
 * <p>Q8: bytes become floats by the processor's conversions, eight rows of weights at a time, each
 * a stream of its own. What decides is the number of streams: the prefetcher works within pages,
 * and while one stream begins a new page the others go on (one stream 48 % of the bandwidth of a
 * core, four 72 %, eight 75 to 80 %).
 *
 * <p>Q4: a nibble in the upper bits of a mantissa makes a float of 1 + q/16 (or 1 + q/256, four
 * bits lower) by one instruction that cuts it out and sets the exponent; conversion from integers
 * would take two. Two nibbles lie right after each rotation by a byte. What is too much, the ones
 * and the zero point, is the same for all rows of weights and is taken off x once ({@link
 * #arrange}). That makes 19 instructions for a line of 128 weights. The loop within a block counts
 * in no way that C2 knows: it would cut a counted loop of four rounds into three loops, at a
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

  /** Vectors that are summed in one go. */
  private static final int SUMS = 16;

  /** Rows of weights that Q4 reads side by side. */
  private static final int NIBBLE_STREAMS = 4;

  /** Floats that a row of x takes as {@link #arrange} lays it out. */
  private static int arrangedRow(QuantisedRows w) {
    return w.type() == DType.Q8 ? w.width() : w.blocks() * Quantised.LANES * (w.group() + 1);
  }

  @Override
  public void arrange(QuantisedRows w, long x, long xStride, int m, Rows rows) {
    float[] to = rows.newArray((long) m * arrangedRow(w));
    for (int i = 0; i < m; i++) {
      long row = x + 4L * i * xStride;
      int at = i * arrangedRow(w);
      if (w.type() == DType.Q8) {
        MemorySegment.copy(Memory.ALL, Memory.FLOAT, row, to, at, w.width());
      } else {
        arrangeForNibbles(w, row, to, at);
      }
    }
  }

  private static void arrangeForNibbles(QuantisedRows w, long x, float[] to, int start) {
    int corrections = start + w.blocks() * Quantised.LANES * w.group();
    int at = start;
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
      Rows rows,
      int m,
      long row,
      int n,
      long out,
      long outStride,
      float[] scratch) {
    float[] x = rows.array();
    int streams = w.type() == DType.Q8 ? STREAMS : NIBBLE_STREAMS;
    int each = n / streams;
    // Of one row of x, as many sums as VectorSums takes in one go; of several rows, weights that
    // the first cache level holds until all have met them. The sums' bits are the same.
    int atOnce = m == 1 ? SUMS / streams : 1;
    for (int j = 0; j < each; j += atOnce) {
      int count = Math.min(atOnce, each - j);
      for (int i = 0; i < m; i++) {
        dotStreams(w, x, i * arrangedRow(w), row + j, count, each, scratch);
        write(w, scratch, row + j, count, streams, each, out + 4 * (i * outStride + j));
      }
    }
    for (int j = streams * each; j < n; j++) {
      for (int i = 0; i < m; i++) {
        dotStreams(w, x, i * arrangedRow(w), row + j, 1, 0, scratch);
        write(w, scratch, row + j, 1, 1, 0, out + 4 * (i * outStride + j));
      }
    }
  }

  /**
   * The row of x at {@code at} by {@code count} rows of w from {@code row} on, and by as many rows
   * from each of the other streams' beginnings, which are {@code apart} rows from each other:
   * results[count · stream + row].
   */
  private static void dotStreams(
      QuantisedRows w, float[] x, int at, long row, int count, int apart, float[] results) {
    int streams = w.type() == DType.Q8 ? STREAMS : NIBBLE_STREAMS;
    long rowBytes = apart * w.rowBytes();
    for (int i = 0; i < count; i++) {
      if (w.type() == DType.Q8) {
        dotBytes(x, at, w.row(row + i), rowBytes, w.width(), results, i * N, count * N);
      } else {
        dotNibbles(
            x,
            at,
            w.row(row + i),
            rowBytes,
            w.scales(row + i),
            apart * w.scaleBytes(),
            w.blocks(),
            w.group(),
            results,
            i * N,
            count * N);
      }
    }
    VectorSums.sum(results, 0, count * streams);
  }

  /** Puts what {@link #dotStreams} found where it belongs. */
  private static void write(
      QuantisedRows w, float[] results, long row, int count, int streams, int apart, long out) {
    for (int r = 0; r < streams; r++) {
      for (int i = 0; i < count; i++) {
        int j = r * apart + i;
        float scale = w.type() == DType.Q8 ? Memory.getFloat(w.scales(row + j)) : 1;
        Memory.setFloat(out + 4L * j, results[r * count + i] * scale);
      }
    }
  }

  /** Sums of eight streams, a vector each, {@code apart} floats from each other. */
  private static void dotBytes(
      float[] x, int start, long w, long rowBytes, int k, float[] results, int to, int apart) {
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
      FloatVector v = FloatVector.fromArray(SPECIES, x, start + i);
      a = load(w + i).fma(v, a);
      b = load(w + rowBytes + i).fma(v, b);
      c = load(w + 2 * rowBytes + i).fma(v, c);
      d = load(w + 3 * rowBytes + i).fma(v, d);
      e = load(w + 4 * rowBytes + i).fma(v, e);
      f = load(w + 5 * rowBytes + i).fma(v, f);
      g = load(w + 6 * rowBytes + i).fma(v, g);
      h = load(w + 7 * rowBytes + i).fma(v, h);
    }
    a.intoArray(results, to);
    b.intoArray(results, to + apart);
    c.intoArray(results, to + 2 * apart);
    d.intoArray(results, to + 3 * apart);
    e.intoArray(results, to + 4 * apart);
    f.intoArray(results, to + 5 * apart);
    g.intoArray(results, to + 6 * apart);
    h.intoArray(results, to + 7 * apart);
    for (int i = bound; i < k; i++) {
      for (int r = 0; r < STREAMS; r++) {
        results[to + r * apart] += x[start + i] * Memory.getByte(w + r * rowBytes + i);
      }
    }
  }

  private static FloatVector load(long address) {
    return (FloatVector)
        ByteVector.fromMemorySegment(BYTES, Memory.ALL, address, ORDER)
            .convertShape(B2F, SPECIES, 0);
  }

  /** Sums of four streams, a vector each, {@code apart} floats from each other. */
  private static void dotNibbles(
      float[] x,
      int start,
      long w,
      long rowBytes,
      long scales,
      long scaleBytes,
      int blocks,
      int group,
      float[] results,
      int to,
      int apart) {
    FloatVector aSum = FloatVector.zero(SPECIES);
    FloatVector bSum = FloatVector.zero(SPECIES);
    FloatVector cSum = FloatVector.zero(SPECIES);
    FloatVector dSum = FloatVector.zero(SPECIES);
    long blockBytes = 8L * group;
    int corrections = start + blocks * Quantised.LANES * group;
    int at = start;
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
    aSum.intoArray(results, to);
    bSum.intoArray(results, to + apart);
    cSum.intoArray(results, to + 2 * apart);
    dSum.intoArray(results, to + 3 * apart);
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
