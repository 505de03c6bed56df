package io.minigpt4.model;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Small tensors as Java arrays, element by element: for work at load time only. */
final class HostFloats {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfDouble DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private HostFloats() {}

  /**
   * All elements of a dense floating-point tensor in host memory.
   *
   * @throws IllegalArgumentException if its type is not a floating one
   */
  static float[] of(Tensor tensor) {
    float[] out = new float[Math.toIntExact(tensor.elements())];
    MemorySegment from = tensor.segment();
    for (int i = 0; i < out.length; i++) {
      out[i] =
          switch (tensor.dtype()) {
            case F64 -> (float) from.get(DOUBLE, 8L * i);
            case F32 -> from.get(FLOAT, 4L * i);
            case F16 -> Float.float16ToFloat(from.get(SHORT, 2L * i));
            case BF16 -> Float.intBitsToFloat(from.get(SHORT, 2L * i) << 16);
            default -> throw new IllegalArgumentException("not a floating-point tensor: " + tensor);
          };
    }
    return out;
  }

  /** A new float32 tensor on the device, living as long as it does. */
  static Tensor toDevice(float[] values, Ops ops, long... shape) {
    Tensor tensor = ops.allocate(DType.F32, shape);
    try (Arena arena = Arena.ofConfined()) {
      ops.write(arena.allocateFrom(ValueLayout.JAVA_FLOAT, values), tensor);
    }
    return tensor;
  }
}
