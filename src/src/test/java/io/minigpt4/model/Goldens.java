package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/** Golden files, and how near to them is near enough. */
public final class Goldens {
  private Goldens() {}

  public static Path path(String name) {
    try {
      return Path.of(
          Objects.requireNonNull(Goldens.class.getResource("/golden/" + name), name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A picture of the documentation, wherever in the repository the tests run. */
  public static Path documented(String name) {
    Path folder = Path.of("").toAbsolutePath();
    while (!Files.exists(folder.resolve("docs/images"))) {
      folder = Objects.requireNonNull(folder.getParent(), "docs/images");
    }
    return folder.resolve("docs/images").resolve(name);
  }

  public static Checkpoint tensors(String name) {
    return Checkpoints.open(path(name));
  }

  /** A tensor of a device as floats. */
  static float[] read(Ops ops, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment host = arena.allocate(ValueLayout.JAVA_FLOAT, tensor.elements());
      ops.read(tensor, host);
      return host.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  /**
   * Asserts that the largest difference is at most {@code tolerance} times the largest expected
   * value.
   */
  public static void assertNear(String what, float[] actual, float[] expected, double tolerance) {
    assertThat(actual.length).as(what).isEqualTo(expected.length);
    double difference = 0;
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      assertThat(actual[i]).as("%s [%d]", what, i).isFinite();
      difference = Math.max(difference, Math.abs((double) actual[i] - expected[i]));
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    assertThat(difference)
        .as("%s: difference, of values up to %f", what, largest)
        .isLessThanOrEqualTo(tolerance * largest);
  }
}
