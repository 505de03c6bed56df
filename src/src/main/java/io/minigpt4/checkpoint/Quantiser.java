package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.stream.IntStream;

/**
 * Makes {@linkplain Quantised quantised} matrices of floating-point ones.
 *
 * <p>Q8: the scale of a row is its largest magnitude / 127, rounded to nearest, as in LLM.int8()
 * (Dettmers et al. 2022) for what is no outlier there. LLM.int8() quantises activations as well and
 * so has to keep whole columns in 16 bit where these are large; here activations stay float, and
 * what remains of the error is that of the weights.
 *
 * <p>Q4: for each group the scale and the integers −8 to 7 that make the squared error smallest
 * among the candidates: the group's largest element is put at −8 / (1 + i/20) for i from −2 to 8,
 * the other elements are rounded, and to these integers q the best scale is Σwq / Σq² (least
 * squares). The sum of squares that is left is Σw² − (Σwq)² / Σq². The scale is rounded to bfloat16
 * and the integers are rounded once more for it.
 */
public final class Quantiser {
  /** Elements that share a scale in Q4, unless somebody asks for another number. */
  public static final int DEFAULT_GROUP = 32;

  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /** Adding and subtracting it rounds a float of up to 2²² to the nearest integer, ties to even. */
  private static final float ROUND = 3 << 22;

  /** Rows that a thread takes at a time. */
  private static final int ROWS = 16;

  private static final int FIRST_CANDIDATE = -2;
  private static final int LAST_CANDIDATE = 8;
  private static final float CANDIDATE_STEP = 0.05f;

  private final DType type;
  private final int group;

  /**
   * @param type Q8 or Q4
   * @param group elements that share a scale in Q4
   * @throws IllegalArgumentException if there is no such form
   */
  public Quantiser(DType type, int group) {
    if (!type.isQuantised() || !Quantised.isGroup(group)) {
      throw new IllegalArgumentException("no form of " + type + " with groups of " + group);
    }
    this.type = type;
    this.group = group;
  }

  public DType type() {
    return type;
  }

  public int group() {
    return group;
  }

  /**
   * How far a quantised matrix is from the original.
   *
   * @param squares of the original's elements, their sum
   * @param errors of the differences, likewise
   */
  public record Deviation(double squares, double errors) {
    /** The error's root mean square relative to the original's. */
    public double relative() {
      return squares == 0 ? 0 : Math.sqrt(errors / squares);
    }
  }

  /** A matrix and how far it is from the original. */
  public record Result(Tensor matrix, Deviation deviation) {}

  /**
   * Quantises a matrix, on all processors.
   *
   * @param matrix [rows, width], dense, floating
   * @param arena owns the result; a shared one, as several threads write it
   * @throws IllegalArgumentException if the matrix holds values that are not finite
   */
  public Result quantise(Tensor matrix, Arena arena) {
    long rows = matrix.rows();
    long width = matrix.width();
    long rowBytes = Quantised.rowBytes(type, width, group);
    long rowScales = Quantised.rowScales(type, width, group);
    MemorySegment elements = arena.allocate(rows * rowBytes, 64);
    MemorySegment scales = arena.allocate(rows * rowScales * Quantised.scaleType(type).bytes(), 64);
    Tensor result = Quantised.matrix(type, elements, scales, group, rows, width);
    int parts = Math.toIntExact((rows + ROWS - 1) / ROWS);
    Deviation[] deviations = new Deviation[parts];
    IntStream.range(0, parts)
        .parallel()
        .forEach(
            part -> {
              long end = Math.min(rows, (part + 1L) * ROWS);
              deviations[part] = quantise(matrix, (long) part * ROWS, end, result);
            });
    double squares = 0;
    double errors = 0;
    for (Deviation d : deviations) {
      squares += d.squares();
      errors += d.errors();
    }
    return new Result(result, new Deviation(squares, errors));
  }

  private Deviation quantise(Tensor from, long firstRow, long lastRow, Tensor to) {
    int width = Math.toIntExact(from.width());
    RowQuantiser rows = type == DType.Q8 ? new Bytes(width) : new Nibbles(width, group);
    long rowBytes = Quantised.rowBytes(type, width, group);
    long scaleBytes = to.scales().rowStride() * to.scales().dtype().bytes();
    double squares = 0;
    double errors = 0;
    for (long row = firstRow; row < lastRow; row++) {
      rows.read(from, row);
      errors += rows.quantise();
      squares += rows.squares();
      rows.write(
          to.segment().asSlice(row * rowBytes, rowBytes),
          to.scales().segment().asSlice(row * scaleBytes, scaleBytes));
    }
    if (!Double.isFinite(squares)) {
      throw new IllegalArgumentException("there are values in it that are not finite");
    }
    return new Deviation(squares, errors);
  }

  /** Buffers of a thread, a row at a time. */
  private abstract static class RowQuantiser {
    final int width;
    final float[] values;

    RowQuantiser(int width, int padded) {
      this.width = width;
      this.values = new float[padded];
    }

    /** Takes a row as floats; zeros behind its end stay. */
    final void read(Tensor from, long row) {
      MemorySegment segment = from.segment();
      long at = row * width * from.dtype().bytes();
      switch (from.dtype()) {
        case F32 -> MemorySegment.copy(segment, FLOAT, at, values, 0, width);
        case F16 -> {
          for (int i = 0; i < width; i++) {
            values[i] = Float.float16ToFloat(segment.get(SHORT, at + 2L * i));
          }
        }
        case BF16 -> {
          for (int i = 0; i < width; i++) {
            values[i] = Float.intBitsToFloat(segment.get(SHORT, at + 2L * i) << 16);
          }
        }
        default -> throw new IllegalArgumentException("cannot quantise " + from);
      }
    }

    final double squares() {
      double sum = 0;
      for (int i = 0; i < width; i++) {
        sum += (double) values[i] * values[i];
      }
      return sum;
    }

    /** Returns the sum of squared errors. */
    abstract double quantise();

    abstract void write(MemorySegment elements, MemorySegment scales);
  }

  private static final class Bytes extends RowQuantiser {
    private final byte[] rounded;
    private float scale;

    Bytes(int width) {
      super(width, width);
      this.rounded = new byte[width];
    }

    @Override
    double quantise() {
      float max = 0;
      for (int i = 0; i < width; i++) {
        max = Math.max(max, Math.abs(values[i]));
      }
      scale = max / 127;
      // Magnitudes so small that 1 / scale is infinite count as nothing.
      float inverse = max < Float.MIN_NORMAL * 256 ? 0 : 127 / max;
      double errors = 0;
      for (int i = 0; i < width; i++) {
        float q = values[i] * inverse + ROUND - ROUND;
        rounded[i] = (byte) q;
        float error = values[i] - q * scale;
        errors += (double) error * error;
      }
      return errors;
    }

    @Override
    void write(MemorySegment elements, MemorySegment scales) {
      MemorySegment.copy(rounded, 0, elements, ValueLayout.JAVA_BYTE, 0, width);
      scales.set(FLOAT, 0, scale);
    }
  }

  /**
   * Blocks of {@link Quantised}: sixteen groups go side by side, so that C2 makes vectors of the
   * inner loops.
   */
  private static final class Nibbles extends RowQuantiser {
    private static final int LANES = Quantised.LANES;

    private final int group;
    private final int blocks;
    private final float[] scales;
    private final int[] words;
    private final float[] extreme = new float[LANES];
    private final float[] inverse = new float[LANES];
    private final float[] products = new float[LANES];
    private final float[] norms = new float[LANES];
    private final float[] best = new float[LANES];

    Nibbles(int width, int group) {
      super(width, (int) Quantised.blocks(width, group) * LANES * group);
      this.group = group;
      this.blocks = (int) Quantised.blocks(width, group);
      this.scales = new float[blocks * LANES];
      this.words = new int[values.length / 8];
    }

    @Override
    double quantise() {
      double errors = 0;
      for (int block = 0; block < blocks; block++) {
        search(block);
        errors += round(block);
      }
      return errors;
    }

    /** Finds the scales of a block. */
    private void search(int block) {
      int first = block * LANES * group;
      for (int lane = 0; lane < LANES; lane++) {
        extreme[lane] = 0;
        best[lane] = -1;
      }
      for (int e = 0; e < group; e++) {
        for (int lane = 0; lane < LANES; lane++) {
          float value = values[first + e * LANES + lane];
          extreme[lane] = Math.abs(value) > Math.abs(extreme[lane]) ? value : extreme[lane];
        }
      }
      for (int candidate = FIRST_CANDIDATE; candidate <= LAST_CANDIDATE; candidate++) {
        for (int lane = 0; lane < LANES; lane++) {
          float most = Math.abs(extreme[lane]) < Float.MIN_NORMAL * 256 ? 0 : 1 / extreme[lane];
          inverse[lane] = -8 / (1 + candidate * CANDIDATE_STEP) * most;
        }
        tryScales(first);
        for (int lane = 0; lane < LANES; lane++) {
          float gain = norms[lane] == 0 ? 0 : products[lane] * products[lane] / norms[lane];
          if (gain > best[lane]) {
            best[lane] = gain;
            scales[block * LANES + lane] = norms[lane] == 0 ? 0 : products[lane] / norms[lane];
          }
        }
      }
      for (int lane = 0; lane < LANES; lane++) {
        int at = block * LANES + lane;
        scales[at] = Float.intBitsToFloat(brain(scales[at]) << 16);
      }
    }

    /** Σwq and Σq² of each lane with elements rounded by {@link #inverse}. */
    private void tryScales(int first) {
      for (int lane = 0; lane < LANES; lane++) {
        products[lane] = 0;
        norms[lane] = 0;
      }
      for (int e = 0; e < group; e++) {
        int at = first + e * LANES;
        for (int lane = 0; lane < LANES; lane++) {
          float value = values[at + lane];
          float q = clamp(value * inverse[lane] + ROUND - ROUND);
          products[lane] += value * q;
          norms[lane] += q * q;
        }
      }
    }

    private static float clamp(float q) {
      return Math.max(-8f, Math.min(7f, q));
    }

    /** Rounds a block's elements for its scales and returns the sum of squared errors. */
    private double round(int block) {
      int first = block * LANES * group;
      double errors = 0;
      for (int lane = 0; lane < LANES; lane++) {
        float scale = scales[block * LANES + lane];
        inverse[lane] = Math.abs(scale) < Float.MIN_NORMAL * 256 ? 0 : 1 / scale;
      }
      for (int line = 0; line < group / 8; line++) {
        for (int lane = 0; lane < LANES; lane++) {
          int word = 0;
          float scale = scales[block * LANES + lane];
          for (int nibble = 0; nibble < 8; nibble++) {
            float value = values[first + line * Quantised.LINE + nibble * LANES + lane];
            float q = clamp(value * inverse[lane] + ROUND - ROUND);
            word |= ((int) q + Quantised.ZERO) << (4 * nibble);
            float error = value - q * scale;
            errors += (double) error * error;
          }
          words[first / 8 + line * LANES + lane] = Integer.rotateLeft(word, Quantised.ROTATION);
        }
      }
      return errors;
    }

    @Override
    void write(MemorySegment elements, MemorySegment factors) {
      MemorySegment.copy(words, 0, elements, INT, 0, words.length);
      for (int i = 0; i < scales.length; i++) {
        factors.set(SHORT, 2L * i, brain(scales[i]));
      }
    }

    /** The nearest bfloat16, ties to even. */
    private static short brain(float value) {
      int bits = Float.floatToRawIntBits(value);
      return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
    }
  }
}
