package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A tensor out of a checkpoint, as it lies there or in another floating-point type. */
final class CopiedTensor extends PlannedTensor {
  private final Checkpoint checkpoint;
  private final String source;
  private final DType sourceType;
  private @Nullable Tensor tensor;

  /**
   * @param name under which it is written
   * @param source its name in the checkpoint
   * @param dtype to convert it to; null to keep its own
   */
  CopiedTensor(String name, Checkpoint checkpoint, String source, @Nullable DType dtype) {
    super(name, dtype == null ? checkpoint.dtype(source) : dtype, checkpoint.shape(source));
    this.checkpoint = checkpoint;
    this.source = source;
    this.sourceType = checkpoint.dtype(source);
  }

  @Override
  void verify() {
    checkpoint.verify(source);
  }

  @Override
  void prepare() {
    tensor = checkpoint.tensor(source);
  }

  @Override
  void release() {
    tensor = null;
  }

  @Override
  MemorySegment stretch(long from, long count, MemorySegment scratch) {
    int width = sourceType.bytes();
    MemorySegment all = Objects.requireNonNull(tensor).segment();
    MemorySegment elements = all.asSlice(from * width, count * width);
    if (sourceType == dtype()) {
      return elements;
    }
    Elements conversion = new Elements();
    conversion.convert(sourceType, elements, dtype(), scratch);
    if (conversion.overflows() > 0) {
      throw new UserException(
          "tensor '"
              + source
              + "' in "
              + checkpoint.source(source)
              + " has values that "
              + dtype()
              + " cannot hold: choose --dtype "
              + (dtype() == DType.F16 ? "bf16 or f32" : "f32"));
    }
    return scratch;
  }
}
