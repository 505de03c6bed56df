package io.minigpt4.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.BumpWorkspace;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** What holds whatever the kernels: memory, threads and refused arguments. */
class CpuOpsTest {
  @Test
  void sharesOutAllItemsOnce() {
    try (Team team = new Team(3)) {
      AtomicInteger[] counts = new AtomicInteger[200];
      for (int i = 0; i < counts.length; i++) {
        counts[i] = new AtomicInteger();
      }
      for (int round = 0; round < 500; round++) {
        team.run((item, worker) -> counts[item].incrementAndGet(), counts.length);
      }
      assertThat(counts).allSatisfy(c -> assertThat(c.get()).isEqualTo(500));
    }
  }

  @Test
  void exceptionOfAWorkerReachesTheCaller() {
    try (Team team = new Team(2)) {
      for (int round = 0; round < 100; round++) {
        assertThatThrownBy(
                () ->
                    team.run(
                        (item, worker) -> {
                          if (item == 37) {
                            throw new IllegalStateException("item 37");
                          }
                        },
                        100))
            .isInstanceOf(IllegalStateException.class)
            .hasMessage("item 37");
      }
      AtomicInteger done = new AtomicInteger();
      team.run((item, worker) -> done.incrementAndGet(), 10);
      assertThat(done).hasValue(10);
    }
  }

  @Test
  void workspaceRepeatsItself() {
    try (Arena arena = Arena.ofShared();
        BumpWorkspace workspace = new BumpWorkspace(bytes -> arena.allocate(bytes, 64))) {
      long mark = workspace.mark();
      Tensor small = workspace.take(DType.F32, 3, 5);
      Tensor large = workspace.take(DType.F32, 1000, 5000);
      Tensor after = workspace.take(DType.F16, 7);
      assertThat(small.address() % 64).isZero();
      assertThat(large.address() % 64).isZero();
      assertThat(after.address() % 64).isZero();
      workspace.release(mark);
      assertThat(workspace.take(DType.F32, 3, 5)).isSameAs(small);
      assertThat(workspace.take(DType.F32, 1000, 5000)).isSameAs(large);
      assertThat(workspace.take(DType.F32, 7).address()).isEqualTo(after.address());
      assertThatThrownBy(() -> workspace.release(Long.MAX_VALUE))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void refusesWhatDoesNotFit() {
    try (CpuOps ops = CpuOps.create(1)) {
      Tensor x = ops.allocate(DType.F32, 2, 8);
      Tensor w = ops.allocate(DType.F32, 4, 9);
      Tensor out = ops.allocate(DType.F32, 2, 4);
      assertThatThrownBy(() -> ops.linear(x, w, null, out))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("F32[2, 8]")
          .hasMessageContaining("F32[4, 9]");
      Tensor halves = ops.allocate(DType.F16, 2, 8);
      assertThatThrownBy(() -> ops.add(x, halves)).isInstanceOf(IllegalArgumentException.class);
      Tensor table = ops.allocate(DType.F16, 5, 4);
      assertThatThrownBy(() -> ops.embed(table, new int[] {0, 5}, 2, null, out))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> ops.embed(table, new int[] {0, -1}, 2, null, out))
          .isInstanceOf(IndexOutOfBoundsException.class);
      Tensor gone;
      try (Arena arena = Arena.ofShared()) {
        gone = Tensor.of(DType.F32, arena.allocate(64, 64), 2, 8);
      }
      assertThatThrownBy(() -> ops.add(x, gone))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("released");
      assertThatThrownBy(() -> CpuOps.create(-1)).isInstanceOf(IllegalArgumentException.class);
    }
  }
}
