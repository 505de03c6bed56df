package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Looking into tensors. */
final class Tensors {
  private Tensors() {}

  /** A tensor in host memory. */
  static float[] floats(Tensor tensor) {
    float[] values = new float[(int) tensor.elements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = tensor.segment().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i);
    }
    return values;
  }

  /** A tensor of any device. */
  static float[] read(Ops ops, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      ops.read(tensor, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  /** ‖actual − expected‖ ≤ relative · ‖expected‖. */
  static void assertClose(Tensor actual, Tensor expected, double relative) {
    float[] a = floats(actual);
    float[] e = floats(expected);
    assertThat(a).hasSameSizeAs(e);
    double off = 0;
    double size = 0;
    for (int i = 0; i < a.length; i++) {
      off += (double) (a[i] - e[i]) * (a[i] - e[i]);
      size += (double) e[i] * e[i];
    }
    assertThat(Math.sqrt(off)).isLessThanOrEqualTo(relative * Math.sqrt(size));
  }
}
