package io.minigpt4.autograd;

import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import it.unimi.dsi.fastutil.longs.Long2ObjectOpenHashMap;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Gradients by the memory that they belong to. Models write into the same buffers over and over; in
 * reverse, what is written into a buffer ends the life of the gradient of what was there later, and
 * reading it adds to the gradient of what was there before. So one gradient for each buffer is
 * enough, and buffers without one have the gradient zero.
 */
final class Gradients {
  private final Ops ops;
  private final TapeMemory memory;
  private final Long2ObjectOpenHashMap<Tensor> live = new Long2ObjectOpenHashMap<>();
  private final Long2ObjectOpenHashMap<ArrayDeque<Tensor>> free = new Long2ObjectOpenHashMap<>();

  Gradients(Ops ops) {
    this.ops = ops;
    this.memory = new TapeMemory(ops);
  }

  /** Most bytes that gradients took at once. */
  long peak() {
    return memory.peak();
  }

  /** Forgets all gradients. */
  void clear() {
    live.clear();
    free.clear();
    memory.release(new TapeMemory.Mark(0, 0, 0));
  }

  /** Whether a tensor has a gradient other than zero. */
  boolean has(Tensor of) {
    return live.containsKey(of.address());
  }

  /** Takes a tensor's gradient away, to be given back with {@link #recycle}; null for zero. */
  @Nullable Tensor take(Tensor of) {
    Tensor gradient = live.remove(of.address());
    if (gradient != null && gradient.elements() != of.elements()) {
      throw new IllegalStateException(of + " has the gradient of another shape, " + gradient);
    }
    return gradient;
  }

  /**
   * A tensor's gradient, made if it has none; {@link #has} tells beforehand if it must be added to.
   */
  Tensor of(Tensor of) {
    Tensor gradient = live.get(of.address());
    if (gradient == null) {
      gradient = make(of);
      live.put(of.address(), gradient);
    }
    return gradient;
  }

  /** An uninitialised tensor of another's shape. */
  Tensor make(Tensor like) {
    ArrayDeque<Tensor> ready = free.get(like.elements());
    Tensor found = ready == null ? null : ready.poll();
    return found == null
        ? memory.take(ops.activation(), like.rows(), like.width())
        : found.reshape(like.rows(), like.width());
  }

  /** Makes a gradient that was taken or made a tensor's own, or adds it to that which it has. */
  void give(Tensor to, Tensor gradient) {
    Tensor before = live.putIfAbsent(to.address(), gradient);
    if (before != null) {
      ops.add(before, gradient);
      recycle(gradient);
    }
  }

  /** Gives the memory of a gradient back. */
  void recycle(Tensor gradient) {
    free.computeIfAbsent(gradient.elements(), n -> new ArrayDeque<>()).push(gradient);
  }
}
