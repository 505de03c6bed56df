package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WeightReaderTest {
  @TempDir private Path folder;

  @Test
  void takesEveryFloatingPointTypeAndRefusesTheRest() {
    Path file = folder.resolve("w.safetensors");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment doubles = arena.allocateFrom(ValueLayout.JAVA_DOUBLE, 1.5, -2, 0.1, 4);
      MemorySegment halves =
          arena.allocateFrom(ValueLayout.JAVA_SHORT, Float.floatToFloat16(1.5f), (short) 0);
      MemorySegment longs = arena.allocateFrom(ValueLayout.JAVA_LONG, 1, 2);
      SafeTensorsWriter.write(
          file,
          Map.of(
              "part.doubles", Tensor.of(DType.F64, doubles, 2, 2),
              "part.halves", Tensor.of(DType.F16, halves, 2),
              "part.none", Tensor.of(DType.F16, halves, 0, 2),
              "part.longs", Tensor.of(DType.I64, longs, 2)),
          Map.of());
    }
    try (Checkpoint checkpoint = Checkpoints.open(file);
        CpuOps ops = CpuOps.createScalar(1)) {
      WeightReader in = new WeightReader(checkpoint, "part.", ops);
      Tensor narrowed = in.get("doubles", 2, WeightReader.ANY);
      assertThat(narrowed.dtype()).isEqualTo(DType.F32);
      assertThat(Goldens.read(ops, narrowed)).containsExactly(1.5f, -2, 0.1f, 4);
      assertThat(in.get("halves", 2).dtype()).isEqualTo(DType.F16);
      assertThatThrownBy(() -> in.get("longs", 2))
          .isInstanceOf(UserException.class)
          .hasMessage(
              "tensor 'part.longs' in "
                  + file
                  + " is of type I64 where a floating-point type is expected");
      assertThatThrownBy(() -> in.get("absent", 2))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("'part.absent'");
      assertThatThrownBy(() -> in.dimension("halves", 2, 0))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("has 1 dimensions where 2 are expected");
      assertThatThrownBy(() -> in.dimension("none", 2, 0))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("'part.none'")
          .hasMessageContaining("has the shape [0, 2]");
      assertThat(in.dimension("none", 2, 1)).isEqualTo(2);
      in.requireNone("absent", 2);
      assertThatThrownBy(() -> in.requireNone("halves", 2))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("'part.halves'")
          .hasMessageContaining("more than the 2 that config.json names");
    }
  }
}
