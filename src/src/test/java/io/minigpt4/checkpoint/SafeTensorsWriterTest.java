package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafeTensorsWriterTest {
  @TempDir Path dir;

  private static Tensor random(Random random, DType dtype, long... shape) {
    byte[] bytes = new byte[Math.toIntExact(Tensor.elements(shape) * dtype.bytes())];
    random.nextBytes(bytes);
    return Tensor.of(dtype, MemorySegment.ofArray(bytes), shape);
  }

  private static byte[] dense(Tensor t) {
    byte[] bytes = new byte[Math.toIntExact(t.elements() * t.dtype().bytes())];
    long row = t.width() * t.dtype().bytes();
    for (long i = 0; i < t.rows(); i++) {
      long from = i * t.rowStride() * t.dtype().bytes();
      MemorySegment.copy(t.segment(), from, MemorySegment.ofArray(bytes), i * row, row);
    }
    return bytes;
  }

  @Test
  void whatIsWrittenIsReadBack() {
    Random random = new Random(4);
    List<DType> dtypes =
        Arrays.stream(DType.values()).filter(dtype -> !dtype.isQuantised()).toList();
    for (int round = 0; round < 200; round++) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      for (int i = random.nextInt(12); i > 0; i--) {
        long[] shape = new long[1 + random.nextInt(4)];
        for (int d = 0; d < shape.length; d++) {
          shape[d] = random.nextInt(7);
        }
        DType dtype = dtypes.get(random.nextInt(dtypes.size()));
        Tensor t = random(random, dtype, shape);
        long from = random.nextLong(t.width() + 1);
        boolean strided = random.nextBoolean();
        tensors.put("t\"\n☃" + i, strided ? t.columns(from, t.width()) : t);
      }
      Map<String, String> metadata = round % 2 == 0 ? Map.of() : Map.of("é\\", "\u0001");
      Path file = dir.resolve("f");
      SafeTensorsWriter.write(file, tensors, metadata);
      try (Checkpoint c = SafeTensors.open(file)) {
        assertThat(c.metadata()).isEqualTo(metadata);
        assertThat(c.names()).containsExactlyInAnyOrderElementsOf(tensors.keySet());
        tensors.forEach(
            (name, t) -> {
              assertThat(c.dtype(name)).isEqualTo(t.dtype());
              assertThat(c.shape(name)).isEqualTo(t.shape());
              assertThat(c.tensor(name).segment().toArray(ValueLayout.JAVA_BYTE))
                  .isEqualTo(dense(t));
              assertThat(c.tensor(name).address() % t.dtype().bytes()).isZero();
            });
      }
    }
  }

  @Test
  void wholeCacheLinesLieAtCacheLines() {
    Path file = dir.resolve("f");
    try (SafeTensorsWriter writer = new SafeTensorsWriter(file)) {
      writer.declare("bytes", DType.U8, 63);
      writer.declare("b.scales", DType.BF16, 2, 16);
      writer.declare("b", DType.U8, 2, 256);
      writer.declare("a", DType.F16, 2, 5);
      writer.declare("d", DType.F32, 3);
      writer.declare("c", DType.F32, 16);
      // The parts of a matrix side by side, so that nobody has to keep one until its other is due.
      assertThat(writer.order()).containsExactly("b", "b.scales", "c", "d", "a", "bytes");
      Random random = new Random(2);
      writer.write("a", random(random, DType.F16, 2, 5));
      writer.write("b", random(random, DType.U8, 2, 256));
      writer.write("b.scales", random(random, DType.BF16, 2, 16));
      writer.write("bytes", random(random, DType.U8, 63));
      writer.write("c", random(random, DType.F32, 16));
      writer.write("d", random(random, DType.F32, 3));
      writer.commit();
    }
    try (Checkpoint c = SafeTensors.open(file)) {
      for (String name : List.of("b", "b.scales", "c", "d")) {
        assertThat(c.tensor(name).address() % 64).as(name).isZero();
      }
    }
  }

  private void assertOnly(Path file) throws IOException {
    try (Stream<Path> files = Files.list(dir)) {
      assertThat(files).containsExactly(file);
    }
  }

  @Test
  void replacesAFileOnlyWhenWhole() throws IOException {
    Path file = Files.writeString(dir.resolve("f"), "before");
    Random random = new Random(1);
    try (SafeTensorsWriter writer = new SafeTensorsWriter(file)) {
      writer.declare("a", DType.F32, 2);
      writer.declare("b", DType.U8, 3);
      writer.write("b", random(random, DType.U8, 3));
      assertThatThrownBy(writer::commit)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("[a]");
    }
    assertThat(file).hasContent("before");
    assertOnly(file);
    try (SafeTensorsWriter writer = new SafeTensorsWriter(file)) {
      writer.declare("a", DType.F32, 2);
      writer.write("a", random(random, DType.F32, 2));
      writer.commit();
    }
    try (Checkpoint c = SafeTensors.open(file)) {
      assertThat(c.names()).containsExactly("a");
    }
    assertOnly(file);
  }

  @Test
  void refusesMisuse() {
    Random random = new Random(1);
    try (SafeTensorsWriter writer = new SafeTensorsWriter(dir.resolve("f"))) {
      writer.declare("a", DType.F32, 2);
      assertThatThrownBy(() -> writer.declare("a", DType.F32, 2))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> writer.declare("q", DType.Q8, 2))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> writer.declare("__metadata__", DType.F32))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> writer.write("a", random(random, DType.F32, 3)))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> writer.write("b", random(random, DType.F32, 2)))
          .isInstanceOf(IllegalArgumentException.class);
      writer.write("a", random(random, DType.F32, 2));
      assertThatThrownBy(() -> writer.write("a", random(random, DType.F32, 2)))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> writer.metadata("k", "v")).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void saysWhyItCannotWrite() {
    assertThatThrownBy(() -> SafeTensorsWriter.write(dir, Map.of(), Map.of()))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(dir + " is a folder");
    Path lost = dir.resolve("no/such/f");
    assertThatThrownBy(() -> SafeTensorsWriter.write(lost, Map.of(), Map.of()))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(lost + " cannot be written: its folder does not exist");
  }
}
