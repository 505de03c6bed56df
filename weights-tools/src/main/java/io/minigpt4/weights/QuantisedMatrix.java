package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.checkpoint.QuantisingCheckpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A matrix that is quantised some rows at a time while it is written: its integers, and its scales,
 * which are made with them and kept until they are written too.
 */
final class QuantisedMatrix {
  /** Hears of each matrix how it went. */
  @FunctionalInterface
  interface Listener {
    void quantised(String name, DType type, Quantiser.Deviation deviation);
  }

  private final Checkpoint original;
  private final QuantisingCheckpoint view;
  private final String name;
  private final Quantiser quantiser;
  private final Listener listener;
  private final long rows;
  private final long rowBytes;
  private final long scaleBytes;
  private @Nullable Tensor matrix;
  private @Nullable MemorySegment scales;
  private Quantiser.Deviation deviation = new Quantiser.Deviation(0, 0);
  private long rowsDone;

  /**
   * @param original where the matrix is
   * @param view of it, in which it looks quantised
   * @param name of the matrix
   * @param quantiser that the view has for it
   */
  QuantisedMatrix(
      Checkpoint original,
      QuantisingCheckpoint view,
      String name,
      Quantiser quantiser,
      Listener listener) {
    this.original = original;
    this.view = view;
    this.name = name;
    this.quantiser = quantiser;
    this.listener = listener;
    this.rows = original.shape(name)[0];
    this.rowBytes = view.shape(name)[1];
    this.scaleBytes = quantiser.rowScaleBytes(original.shape(name)[1]);
  }

  private void begin() {
    matrix = original.tensor(name);
    scales = Arena.ofAuto().allocate(rows * scaleBytes, 64);
    rowsDone = 0;
    deviation = new Quantiser.Deviation(0, 0);
  }

  private void quantise(long first, long end, MemorySegment integers) {
    MemorySegment factors =
        Objects.requireNonNull(scales).asSlice(first * scaleBytes, (end - first) * scaleBytes);
    Quantiser.Deviation more;
    try {
      more = quantiser.quantise(Objects.requireNonNull(matrix), first, end, integers, factors);
    } catch (IllegalArgumentException e) {
      throw view.unfit(name, e);
    }
    synchronized (this) {
      deviation = deviation.plus(more);
      rowsDone += end - first;
    }
  }

  /** Tells how it went, if it went to the end. */
  private void end() {
    matrix = null;
    if (rowsDone == rows) {
      listener.quantised(name, quantiser.type(), deviation);
    }
  }

  /** The integers, as the view has them. */
  final class Integers extends PlannedTensor {
    /** Those of the matrix. */
    Integers() {
      super(name, view.dtype(name), view.shape(name));
    }

    @Override
    long grain() {
      return rowBytes;
    }

    @Override
    void verify() {
      original.verify(name);
    }

    @Override
    void prepare() {
      begin();
    }

    @Override
    void release() {
      end();
    }

    @Override
    MemorySegment stretch(long from, long count, MemorySegment scratch) {
      quantise(from / rowBytes, (from + count) / rowBytes, scratch);
      return scratch;
    }
  }

  /** The scales, as the view has them. Written after the integers, or without them. */
  final class Scales extends PlannedTensor {
    /**
     * @param scalesName in the view
     */
    Scales(String scalesName) {
      super(scalesName, view.dtype(scalesName), view.shape(scalesName));
    }

    @Override
    void verify() {
      original.verify(name);
    }

    @Override
    void prepare() {
      if (scales == null) {
        // The integers are in a file that an earlier run has finished.
        begin();
        MemorySegment integers = Arena.ofAuto().allocate(rowBytes);
        for (long row = 0; row < rows; row++) {
          quantise(row, row + 1, integers);
        }
        end();
      }
    }

    @Override
    void release() {
      scales = null;
    }

    @Override
    MemorySegment stretch(long from, long count, MemorySegment scratch) {
      int width = dtype().bytes();
      return Objects.requireNonNull(scales).asSlice(from * width, count * width);
    }
  }
}
