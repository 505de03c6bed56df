package io.minigpt4.model;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.LargeMemory;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Random weights of a model's true shapes, made when they are asked for: matrices are normal with
 * deviation 0.02, the weights of norms are ones, biases zeros. A tensor depends on seed and name
 * only. Cross-attention is in every other layer of the Q-Former, as in the published one.
 */
public final class RandomCheckpoint implements Checkpoint {
  private final ModelConfig.Synthetic made;
  private final NormalNumbers numbers;
  private final Map<String, ModelLayout.Entry> entries = new LinkedHashMap<>();

  /**
   * @param config has {@link ModelConfig#synthetic}
   */
  public RandomCheckpoint(ModelConfig config) {
    this.made = Objects.requireNonNull(config.synthetic());
    this.numbers = new NormalNumbers(made.dtype(), new SplittableRandom(made.seed()));
    for (ModelLayout.Entry entry : ModelLayout.of(config, i -> i % 2 == 0)) {
      entries.put(entry.nameInFolder(), entry);
    }
  }

  private ModelLayout.Entry entry(String name) {
    ModelLayout.Entry entry = entries.get(name);
    if (entry == null) {
      throw missing(name);
    }
    return entry;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(entries.keySet());
  }

  @Override
  public DType dtype(String name) {
    entry(name);
    return made.dtype();
  }

  @Override
  public long[] shape(String name) {
    return entry(name).dims();
  }

  /** A tensor in new memory, freed when nobody refers to it any more. */
  @Override
  public Tensor tensor(String name) {
    long[] shape = shape(name);
    MemorySegment memory = LargeMemory.automatic(Tensor.elements(shape) * made.dtype().bytes());
    fill(name, 0, memory);
    return Tensor.of(made.dtype(), memory, shape);
  }

  /**
   * Writes a stretch of a tensor's elements.
   *
   * @param from the first element
   * @param memory room for as many as are wanted
   * @throws UserException if there is no tensor of this name
   */
  public void fill(String name, long from, MemorySegment memory) {
    boolean vector = entry(name).shape().size() == 1;
    if (!vector) {
      long start =
          new SplittableRandom(made.seed() ^ ((long) name.hashCode() << 32))
              .nextInt(NormalNumbers.PERIOD);
      numbers.fill(start + from, memory);
      return;
    }
    MemorySegment value =
        NormalNumbers.encoded(made.dtype(), new float[] {name.endsWith(".weight") ? 1 : 0});
    for (long at = 0; at < memory.byteSize(); at += value.byteSize()) {
      MemorySegment.copy(value, 0, memory, at, value.byteSize());
    }
  }

  @Override
  public Map<String, String> metadata() {
    return Map.of();
  }

  @Override
  public String describe() {
    return "random weights (seed " + made.seed() + ", " + entries.size() + " tensors)";
  }

  @Override
  public String source(String name) {
    return describe();
  }

  @Override
  public void close() {
    // Memory goes with those who use it.
  }
}
