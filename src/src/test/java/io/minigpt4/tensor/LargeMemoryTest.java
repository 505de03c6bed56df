package io.minigpt4.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class LargeMemoryTest {
  private static final long PIECE = 256L << 20;

  /** Pages that nobody has written to cost the machine nothing. */
  @Test
  void moreThanTheHeapMayGrowToIsThere() {
    long pieces = Runtime.getRuntime().maxMemory() / PIECE + 2;
    try (Arena arena = Arena.ofConfined()) {
      List<MemorySegment> all = new ArrayList<>();
      for (long i = 0; i < pieces; i++) {
        all.add(LargeMemory.allocate(PIECE, arena));
      }
      for (MemorySegment piece : all) {
        assertThat(piece.byteSize()).isEqualTo(PIECE);
        assertThat(piece.address() % 64).isZero();
        assertThat(piece.get(ValueLayout.JAVA_BYTE, PIECE - 1)).isZero();
        piece.set(ValueLayout.JAVA_BYTE, PIECE - 1, (byte) 1);
      }
    }
  }

  @Test
  void itGoesWithItsArena() {
    MemorySegment memory;
    try (Arena arena = Arena.ofConfined()) {
      memory = LargeMemory.allocate(100, arena);
      assertThat(memory.fill((byte) 3).get(ValueLayout.JAVA_BYTE, 99)).isEqualTo((byte) 3);
    }
    assertThatThrownBy(() -> memory.get(ValueLayout.JAVA_BYTE, 0))
        .isInstanceOf(IllegalStateException.class);
  }

  @Test
  void whatNobodyRefersToDoesNotPileUp() {
    WeakReference<MemorySegment> first = new WeakReference<>(LargeMemory.automatic(PIECE));
    for (int i = 0; i < 8; i++) {
      assertThat(LargeMemory.automatic(PIECE).byteSize()).isEqualTo(PIECE);
    }
    assertThat(first.get()).isNull();
  }

  @Test
  void whatTheMachineHasNotIsOneLine() {
    try (Arena arena = Arena.ofConfined()) {
      assertThatThrownBy(() -> LargeMemory.allocate(1L << 52, arena))
          .isInstanceOf(UserException.class)
          .hasMessage("this machine has no more memory: 4503599.6 GB more were needed");
      assertThat(LargeMemory.allocate(0, arena).byteSize()).isZero();
    }
  }
}
