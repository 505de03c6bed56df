package io.minigpt4.autograd;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * What a tape keeps from the forward to the backward pass: bump-allocated like a workspace, but not
 * in the device's own, whose marks the model releases on its way.
 */
final class TapeMemory {
  private static final long ALIGNMENT = 256;
  private static final long BLOCK = 64L << 20;

  private final Ops ops;
  private final List<Tensor> blocks = new ArrayList<>();
  private int current;
  private long position;
  private long used;
  private long peak;

  TapeMemory(Ops ops) {
    this.ops = ops;
  }

  /** A place to come back to. */
  record Mark(int block, long position, long used) {}

  Mark mark() {
    return new Mark(current, position, used);
  }

  void release(Mark mark) {
    current = mark.block;
    position = mark.position;
    used = mark.used;
  }

  /** The most bytes that were handed out at once. */
  long peak() {
    return peak;
  }

  /** An uninitialised dense tensor. */
  Tensor take(DType dtype, long... shape) {
    long bytes = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    long need = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (current < blocks.size() && blocks.get(current).elements() - position < need) {
      current++;
      position = 0;
    }
    if (current == blocks.size()) {
      blocks.add(ops.allocate(DType.U8, Math.max(BLOCK, need)));
      position = 0;
    }
    Tensor taken = Tensor.of(dtype, blocks.get(current).segment().asSlice(position, bytes), shape);
    position += need;
    used += need;
    peak = Math.max(peak, used);
    return taken;
  }
}
