package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files with quantised matrices: made by quantising a checkpoint, read back, and damaged. */
class QuantisedTensorsTest {
  private static final String LAYER = "llm.model.layers.3.mlp.up_proj.weight";
  private static final String HEAD = "llm.lm_head.weight";

  @TempDir private Path folder;

  private static Tensor random(DType type, long... shape) {
    MemorySegment memory = Arena.ofAuto().allocate(Tensor.elements(shape) * type.bytes(), 8);
    for (long i = 0; i < memory.byteSize(); i += 4) {
      memory.set(ValueLayout.JAVA_FLOAT, i, (float) Math.sin((double) i));
    }
    return Tensor.of(type, memory, shape);
  }

  private Path original() {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    tensors.put(LAYER, random(DType.F32, 6, 200));
    tensors.put(HEAD, random(DType.F32, 10, 40));
    tensors.put("llm.model.embed_tokens.weight", random(DType.F32, 10, 40));
    tensors.put("llm.model.layers.3.input_layernorm.weight", random(DType.F32, 40));
    tensors.put("model.layers.3.mlp.up_proj.weight", random(DType.F32, 2, 2));
    Path file = folder.resolve("original.safetensors");
    SafeTensorsWriter.write(file, tensors, Map.of());
    return file;
  }

  private static QuantisingCheckpoint quantising(Checkpoint inner, DType type) {
    return new QuantisingCheckpoint(inner, "llm.", new Quantiser(type, 32));
  }

  private Map<String, Tensor> quantised(DType type) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    Checkpoint view = quantising(SafeTensors.open(original()), type);
    view.names().forEach(name -> tensors.put(name, view.tensor(name)));
    return tensors;
  }

  private Checkpoint file(Map<String, Tensor> tensors) {
    Path file = folder.resolve("quantised.safetensors");
    SafeTensorsWriter.write(file, tensors, Map.of());
    return SafeTensors.open(file);
  }

  @Test
  void onlyTheLanguageModelsMatricesAreQuantised() {
    try (Checkpoint view = quantising(SafeTensors.open(original()), DType.Q4)) {
      assertThat(view.dtype(LAYER)).isEqualTo(DType.U8);
      assertThat(view.shape(LAYER)).containsExactly(6, 256);
      assertThat(view.dtype(LAYER + ".scales")).isEqualTo(DType.BF16);
      assertThat(view.shape(LAYER + ".scales")).containsExactly(6, 16);
      assertThat(view.dtype(HEAD)).isEqualTo(DType.I8);
      assertThat(view.shape(HEAD + ".scales")).containsExactly(10);
      assertThat(view.names().stream().filter(name -> view.dtype(name) == DType.F32))
          .containsExactlyInAnyOrder(
              HEAD + ".scales",
              "llm.model.embed_tokens.weight",
              "llm.model.layers.3.input_layernorm.weight",
              "model.layers.3.mlp.up_proj.weight");
      assertThat(view.source(LAYER + ".scales")).endsWith("original.safetensors");
    }
  }

  @Test
  void matricesWithoutElementsStayAsTheyAre() {
    for (long[] shape : new long[][] {{0, 64}, {64, 0}}) {
      Map<String, Tensor> tensors =
          Map.of(LAYER, random(DType.F32, shape), HEAD, random(DType.F32, 10, 64));
      try (Checkpoint view = quantising(file(tensors), DType.Q4)) {
        assertThat(view.dtype(LAYER)).isEqualTo(DType.F32);
        assertThat(view.names()).containsExactlyInAnyOrder(LAYER, HEAD, HEAD + ".scales");
      }
    }
  }

  @Test
  void aNameThatScalesNeedMustBeFree() {
    Map<String, Tensor> tensors =
        Map.of(LAYER, random(DType.F32, 6, 200), LAYER + ".scales", random(DType.F32, 3));
    try (Checkpoint inner = file(tensors)) {
      assertThatThrownBy(() -> quantising(inner, DType.Q8))
          .isInstanceOf(UserException.class)
          .hasMessageContaining(LAYER + ".scales' in ")
          .hasMessageContaining("already");
    }
  }

  @Test
  void whatIsWrittenIsRead() {
    for (DType type : List.of(DType.Q8, DType.Q4)) {
      Map<String, Tensor> tensors = quantised(type);
      try (Checkpoint in = file(tensors)) {
        Tensor matrix = QuantisedTensors.read(in, LAYER, 6, 200);
        assertThat(matrix.dtype()).isEqualTo(type);
        assertThat(matrix.group()).isEqualTo(type == DType.Q4 ? 32 : 0);
        assertThat(matrix.segment().mismatch(segment(tensors, LAYER))).isEqualTo(-1);
        assertThat(matrix.scales().segment().mismatch(segment(tensors, LAYER + ".scales")))
            .isEqualTo(-1);
        // What is quantised already stays as it is.
        assertThat(quantising(in, DType.Q4).quantised()).isEmpty();
      }
    }
  }

  private static MemorySegment segment(Map<String, Tensor> tensors, String name) {
    return Objects.requireNonNull(tensors.get(name)).segment();
  }

  @Test
  void damagedFiles() {
    Map<String, Tensor> four = quantised(DType.Q4);
    refused(four, Map.of(LAYER, random(DType.U8, 6, 248)), 200, "[6, 248]", "another model");
    refused(four, Map.of(LAYER, random(DType.U8, 7, 256)), 200, "[7, 256]");
    refused(four, Map.of(LAYER, random(DType.U8, 6, 0)), 200, "[6, 0]");
    refused(four, Map.of(LAYER + ".scales", random(DType.F16, 6, 16)), 200, "F16", "BF16");
    refused(four, Map.of(LAYER + ".scales", random(DType.BF16, 6, 0)), 200, "[6, 0]");
    refused(four, Map.of(LAYER + ".scales", random(DType.BF16, 96)), 200, "[96]");
    refused(four, Map.of(), 513, "6 x 513");
    Map<String, Tensor> eight = quantised(DType.Q8);
    refused(eight, Map.of(), 201, "[6, 200]", "[6, 201]");
    refused(eight, Map.of(LAYER + ".scales", random(DType.F32, 8)), 200, "[8]");
    eight.remove(LAYER + ".scales");
    refused(eight, Map.of(), 200, "'" + LAYER + ".scales' is missing");
  }

  private void refused(
      Map<String, Tensor> tensors, Map<String, Tensor> changes, long width, String... words) {
    Map<String, Tensor> changed = new LinkedHashMap<>(tensors);
    changed.putAll(changes);
    try (Checkpoint in = file(changed)) {
      assertThatExceptionOfType(UserException.class)
          .isThrownBy(() -> QuantisedTensors.read(in, LAYER, 6, width))
          .withMessageContainingAll(words)
          .withMessageContaining(LAYER)
          .withMessageContaining("quantised.safetensors");
    }
  }
}
