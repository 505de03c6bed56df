package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class StretchPipelineTest {
  /** Rows of {@value #WIDTH} that count on from 0, and stretches of whole rows. */
  private static final class Rows extends PlannedTensor {
    static final int WIDTH = 1000;

    final AtomicInteger making = new AtomicInteger();
    final List<String> calls = new ArrayList<>();
    private final long breaksAt;

    Rows(long rows, long breaksAt) {
      super("rows", DType.I32, rows, WIDTH);
      this.breaksAt = breaksAt;
    }

    @Override
    long grain() {
      return WIDTH;
    }

    @Override
    void prepare() {
      calls.add("prepare");
    }

    @Override
    void release() {
      calls.add(making.get() == 0 ? "release" : "release too early");
    }

    @Override
    MemorySegment stretch(long from, long count, MemorySegment scratch) {
      making.incrementAndGet();
      try {
        if (from % WIDTH != 0 || count % WIDTH != 0) {
          throw new AssertionError(from + " " + count);
        }
        if (from <= breaksAt && breaksAt < from + count) {
          throw new UserException("broken");
        }
        for (long i = 0; i < count; i++) {
          scratch.setAtIndex(ValueLayout.JAVA_INT, i, (int) (from + i));
        }
        return scratch;
      } finally {
        making.decrementAndGet();
      }
    }
  }

  @Test
  void stretchesComeInTheirOrder() {
    Rows rows = new Rows(12_345, -1);
    List<Long> sizes = new ArrayList<>();
    try (StretchPipeline pipeline = new StretchPipeline(List.of(rows))) {
      int[] next = {0};
      pipeline.make(
          rows,
          stretch -> {
            sizes.add(stretch.byteSize() / Integer.BYTES);
            for (int value : stretch.toArray(ValueLayout.JAVA_INT)) {
              if (value != next[0]++) {
                throw new AssertionError(value + " instead of " + (next[0] - 1));
              }
            }
          });
      assertThat(next[0]).isEqualTo(12_345 * Rows.WIDTH);
    }
    assertThat(sizes).hasSizeGreaterThan(30);
    assertThat(sizes.subList(0, sizes.size() - 1)).containsOnly(sizes.getFirst());
    assertThat(rows.calls).containsExactly("prepare", "release");
  }

  @Test
  void whatFailsEndsItOnceTheOthersAreDone() {
    Rows broken = new Rows(12_345, 5_000_000);
    Rows whole = new Rows(12_345, -1);
    try (StretchPipeline pipeline = new StretchPipeline(List.of(broken, whole))) {
      long[] taken = {0};
      assertThatThrownBy(() -> pipeline.make(broken, stretch -> taken[0] += stretch.byteSize() / 4))
          .isInstanceOf(UserException.class)
          .hasMessage("broken");
      assertThat(taken[0]).isBetween(4_000_000L, 5_000_000L);
      assertThatThrownBy(
              () ->
                  pipeline.make(
                      whole,
                      stretch -> {
                        throw new IllegalStateException("no room");
                      }))
          .hasMessage("no room");
    }
    assertThat(broken.calls).containsExactly("prepare", "release");
    assertThat(whole.calls).containsExactly("prepare", "release");
  }

  @Test
  void aTensorWithoutElementsIsOneEmptyStretch() {
    List<Long> sizes = new ArrayList<>();
    Rows none = new Rows(0, -1);
    try (StretchPipeline pipeline = new StretchPipeline(List.of(none))) {
      pipeline.make(none, stretch -> sizes.add(stretch.byteSize()));
    }
    assertThat(sizes).containsExactly(0L);
  }
}
