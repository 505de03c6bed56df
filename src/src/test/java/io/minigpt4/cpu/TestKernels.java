package io.minigpt4.cpu;

import java.util.stream.Stream;

/** The implementations of {@link Kernels} that tests go through. */
final class TestKernels {
  private TestKernels() {}

  static Stream<Kernels> all() {
    return Stream.of(new ScalarKernels(), new VectorKernels());
  }
}
