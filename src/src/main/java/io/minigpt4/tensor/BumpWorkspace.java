package io.minigpt4.tensor;

import it.unimi.dsi.fastutil.longs.Long2ObjectOpenHashMap;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongFunction;

/**
 * {@link Workspace} over blocks of memory that are added as needed. Positions count through all
 * blocks. A tensor that was handed out at a position is handed out again when the same is asked for
 * there, so that a loop that repeats itself allocates nothing.
 */
public final class BumpWorkspace implements Workspace {
  private static final long ALIGNMENT = 64;
  private static final long FIRST_BLOCK = 1 << 22;

  private final LongFunction<MemorySegment> memory;
  private final List<Block> blocks = new ArrayList<>();
  private final Long2ObjectOpenHashMap<Tensor> handedOut = new Long2ObjectOpenHashMap<>();
  private int current;
  private long position;

  private record Block(long start, MemorySegment memory) {
    long end() {
      return start + memory.byteSize();
    }
  }

  /**
   * @param memory gives so many bytes, aligned to 64, that live as long as the workspace; who gives
   *     them frees them
   */
  public BumpWorkspace(LongFunction<MemorySegment> memory) {
    this.memory = memory;
  }

  @Override
  public Tensor take(DType dtype, long... shape) {
    long bytes = Math.multiplyExact(Tensor.elements(shape), dtype.bytes());
    long at = room(bytes);
    position = at + bytes;
    Tensor known = handedOut.get(at);
    if (known != null && known.dtype() == dtype && hasShape(known, shape)) {
      return known;
    }
    Block block = blocks.get(current);
    Tensor fresh = Tensor.of(dtype, block.memory.asSlice(at - block.start, bytes), shape);
    handedOut.put(at, fresh);
    return fresh;
  }

  private static boolean hasShape(Tensor tensor, long[] shape) {
    if (tensor.rank() != shape.length) {
      return false;
    }
    for (int i = 0; i < shape.length; i++) {
      if (tensor.dim(i) != shape[i]) {
        return false;
      }
    }
    return true;
  }

  /** Where {@code bytes} bytes are free; moves on to, or adds, the block that has them. */
  private long room(long bytes) {
    long at = (position + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (current < blocks.size()) {
      Block block = blocks.get(current);
      at = Math.max(at, block.start);
      if (block.end() - at >= bytes) {
        return at;
      }
      current++;
    }
    long start = blocks.isEmpty() ? 0 : blocks.getLast().end();
    long size = Math.max(Math.max(FIRST_BLOCK, start), bytes + ALIGNMENT);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    blocks.add(new Block(start, memory.apply(size)));
    return start;
  }

  @Override
  public long mark() {
    return position;
  }

  @Override
  public void release(long mark) {
    if (mark < 0 || mark > position) {
      throw new IllegalArgumentException("mark " + mark + " is not below position " + position);
    }
    position = mark;
    while (current > 0 && (current >= blocks.size() || blocks.get(current).start >= mark)) {
      current--;
    }
  }

  @Override
  public long capacity() {
    return blocks.isEmpty() ? 0 : blocks.getLast().end();
  }

  @Override
  public void close() {
    blocks.clear();
    handedOut.clear();
  }
}
