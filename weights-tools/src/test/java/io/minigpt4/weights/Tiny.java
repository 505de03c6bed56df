package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** The random model in the published layouts that the engine's tests use too. */
final class Tiny {
  static final Path FILES = Path.of("../src/src/test/resources/golden/tiny");

  private Tiny() {}

  /** Arguments of a conversion into a folder, with more behind. */
  static Object[] convert(Path out, Object... more) {
    return convert(FILES, out, more);
  }

  /** The same with the files of another folder of the same layout. */
  static Object[] convert(Path files, Path out, Object... more) {
    List<Object> arguments =
        new ArrayList<>(
            List.of(
                "convert",
                "--vit-model",
                files.resolve("eva_vit_g.pth"),
                "--q-former-model",
                files.resolve("blip2_pretrained_flant5xxl.pth"),
                "--llama-model",
                files.resolve("vicuna"),
                "--ckpt",
                files.resolve("pretrained_minigpt4.pth"),
                "-o",
                out));
    arguments.addAll(List.of(more));
    return arguments.toArray();
  }

  /** Copies a folder with all that is in it. */
  static Path copy(Path from, Path to) {
    try (Stream<Path> all = Files.walk(from)) {
      for (Path path : all.toList()) {
        Files.copy(path, to.resolve(from.relativize(path).toString()));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return to;
  }

  /** Loads a model folder. */
  static MiniGpt4 load(Path folder, CpuOps ops) {
    return new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.Folder(folder), null);
  }

  /** Asserts that a folder does not load, and that the reason is one line. */
  static void assertDoesNotLoad(Path folder) {
    try (CpuOps ops = CpuOps.createScalar(1)) {
      assertThatThrownBy(() -> load(folder, ops))
          .isInstanceOf(UserException.class)
          .message()
          .hasLineCount(1);
    }
  }

  /** Asserts that a run ended with exit code 2 and one line that has these words. */
  static void assertRefused(Tool.Result result, String... words) {
    assertThat(result.err()).hasLineCount(1).contains(words);
    assertThat(result.exitCode()).isEqualTo(2);
  }

  /** A float32 tensor. */
  static Tensor tensor(float[] values, long... shape) {
    MemorySegment memory = Arena.ofAuto().allocate(4L * values.length);
    MemorySegment.copy(values, 0, memory, ValueLayout.JAVA_FLOAT, 0, values.length);
    return Tensor.of(DType.F32, memory, shape);
  }

  /** A tensor's bytes. */
  static byte[] bytes(Checkpoint checkpoint, String name) {
    return checkpoint.tensor(name).segment().toArray(ValueLayout.JAVA_BYTE);
  }

  /** A tensor's values. */
  static float[] floats(Checkpoint checkpoint, String name) {
    MemorySegment segment = checkpoint.tensor(name).segment();
    DType type = checkpoint.dtype(name);
    float[] values = new float[Math.toIntExact(segment.byteSize() / type.bytes())];
    Elements elements = new Elements();
    float[] block = new float[Elements.BLOCK];
    for (int at = 0; at < values.length; at += Elements.BLOCK) {
      int n = Math.min(Elements.BLOCK, values.length - at);
      elements.read(type, segment, at, n, block);
      System.arraycopy(block, 0, values, at, n);
    }
    return values;
  }
}
