package io.minigpt4.cli;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Collectors;
import java.util.stream.LongStream;

/**
 * What {@link SelfTest} computes with: numbers between −1 and 1 that float16 has, so that all
 * devices start from the same. The last weights are kept, as each is wanted on two devices, and
 * large ones take longer to make than to compute with.
 */
final class SelfTestTensors {
  private static final int KEPT = 3;

  private final Map<Key, Tensor> made =
      new LinkedHashMap<>(16, 0.75f, true) {
        @Override
        protected boolean removeEldestEntry(Map.Entry<Key, Tensor> eldest) {
          return size() > KEPT;
        }
      };

  private record Key(int seed, DType type, List<Long> shape) {}

  /** Rows of activations. */
  Tensor activation(Ops ops, int seed, int rows, int width) {
    return written(ops, seed, ops.activation(), rows, width);
  }

  /** A tensor of a type that is not quantised, as an operation's result is. */
  Tensor written(Ops ops, int seed, DType type, long... shape) {
    Tensor tensor = ops.allocate(type, shape);
    try (Arena arena = Arena.ofConfined()) {
      ops.write(numbers(arena, seed, tensor.elements()), tensor);
    }
    return tensor;
  }

  /** A float32 matrix of zeros. */
  Tensor zeros(Ops ops, int rows, int width) {
    Tensor tensor = ops.allocate(DType.F32, rows, width);
    ops.write(MemorySegment.ofArray(new float[Math.multiplyExact(rows, width)]), tensor);
    return tensor;
  }

  /** A weight of a type, as from a file; only matrices can be of a quantised one. */
  Tensor weight(Ops ops, int seed, DType type, long... shape) {
    List<Long> sizes = LongStream.of(shape).boxed().collect(Collectors.toUnmodifiableList());
    return ops.load(made.computeIfAbsent(new Key(seed, type, sizes), key -> host(key, shape)));
  }

  private static Tensor host(Key key, long[] shape) {
    Arena arena = Arena.ofAuto();
    long count = Tensor.elements(shape);
    MemorySegment floats = numbers(arena, key.seed, count);
    if (key.type.isQuantised()) {
      Quantiser quantiser = new Quantiser(key.type, Quantiser.DEFAULT_GROUP);
      return quantiser.quantise(Tensor.of(DType.F32, floats, shape), arena).matrix();
    }
    if (key.type == DType.F32) {
      return Tensor.of(DType.F32, floats, shape);
    }
    MemorySegment host = arena.allocate(count * key.type.bytes(), 64);
    for (long i = 0; i < count; i++) {
      float value = floats.getAtIndex(ValueLayout.JAVA_FLOAT, i);
      short bits =
          switch (key.type) {
            case F16 -> Float.floatToFloat16(value);
            case BF16 -> (short) (Float.floatToRawIntBits(value) >>> 16);
            default -> throw new IllegalArgumentException("weights cannot be " + key.type);
          };
      host.setAtIndex(ValueLayout.JAVA_SHORT, i, bits);
    }
    return Tensor.of(key.type, host, shape);
  }

  /** Bytes that a quantised matrix and its scales take. */
  static long quantisedBytes(DType type, int n, int k) {
    int group = Quantiser.DEFAULT_GROUP;
    return n
        * (Quantised.rowBytes(type, k, group)
            + Quantised.rowScales(type, k, group) * Quantised.scaleType(type).bytes());
  }

  private static MemorySegment numbers(Arena arena, int seed, long count) {
    SplittableRandom random = new SplittableRandom(seed);
    MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, count);
    for (long i = 0; i < count; i++) {
      float value = (random.nextInt(513) - 256) / 256f;
      host.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
    return host;
  }
}
