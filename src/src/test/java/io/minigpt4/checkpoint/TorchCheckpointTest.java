package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TorchCheckpointTest {
  @TempDir Path dir;

  private static Path golden(String name) {
    return Golden.path("tiny/" + name);
  }

  private static byte[] bytes(Tensor t) {
    return t.segment().toArray(ValueLayout.JAVA_BYTE);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "odd_tensors.pth",
        "odd_tensors_legacy.pth",
        "odd_tensors_protocol_4.pth",
      })
  void readsEveryKindOfTensor(String name) {
    try (Checkpoint torch = Checkpoints.open(golden("pickles/" + name));
        Checkpoint plain = Checkpoints.open(golden("pickles/odd_tensors.safetensors"))) {
      assertThat(torch.names()).containsExactlyInAnyOrderElementsOf(plain.names());
      for (String tensor : plain.names()) {
        assertThat(torch.dtype(tensor)).as(tensor).isEqualTo(plain.dtype(tensor));
        assertThat(torch.shape(tensor)).as(tensor).isEqualTo(plain.shape(tensor));
        assertThat(bytes(torch.tensor(tensor))).as(tensor).isEqualTo(bytes(plain.tensor(tensor)));
      }
    }
  }

  @Test
  void namesOfAModelThatWasTrainedInParallelLoseTheirPrefix() {
    Tensor one = Tensor.of(DType.F32, Arena.ofAuto().allocate(4), 1);
    Map<String, Object> wrapped = Map.of("module.a.weight", one, "module.b", one);
    for (Map<String, Object> root : List.of(wrapped, Map.of("model", wrapped, "epoch", 3L))) {
      TorchWriter.write(dir.resolve("wrapped.pth"), root);
      try (Checkpoint c = Checkpoints.open(dir.resolve("wrapped.pth"))) {
        assertThat(c.names()).containsExactlyInAnyOrder("a.weight", "b");
      }
    }
    TorchWriter.write(dir.resolve("half.pth"), Map.of("module.a", one, "b", one));
    try (Checkpoint c = Checkpoints.open(dir.resolve("half.pth"))) {
      assertThat(c.names()).containsExactlyInAnyOrder("module.a", "b");
    }
  }

  @Test
  void copiesOnlyWhatDoesNotLieDensely() {
    try (Checkpoint c = Checkpoints.open(golden("pickles/odd_tensors.pth"))) {
      assertThat(c.tensor("shared_row").segment().isMapped()).isTrue();
      assertThat(c.tensor("transposed").segment().isMapped()).isFalse();
      assertThat(c.tensor("transposed")).isSameAs(c.tensor("transposed"));
      long whole = c.tensor("shared_whole").address();
      long row = c.tensor("shared_row").address();
      assertThat(row).isBetween(whole, whole + c.tensor("shared_whole").segment().byteSize());
    }
  }

  @Test
  void opensTheModelInsideATrainingCheckpoint() {
    try (Checkpoint c = Checkpoints.open(golden("pretrained_minigpt4.pth"))) {
      assertThat(c.require("llama_proj.weight", 128, 128).dtype().isFloating()).isTrue();
      assertThat(c.metadata()).containsEntry("epoch", "4");
      assertThat(Checkpoints.under(c, "optimizer.").names())
          .contains("state.0.exp_avg", "state.1.exp_avg_sq");
      assertThat(c.describe()).contains("pretrained_minigpt4.pth (PyTorch, ");
    }
  }

  @Test
  void readsThePublishedLayouts() {
    try (Checkpoint vit = Checkpoints.open(golden("eva_vit_g.pth"));
        Checkpoint qformer = Checkpoints.open(golden("blip2_pretrained_flant5xxl.pth"));
        Checkpoint vicuna = Checkpoints.open(golden("vicuna"))) {
      assertThat(vit.shape("pos_embed")).containsExactly(1, 17, 176);
      assertThat(qformer.shape("query_tokens")).containsExactly(1, 8, 128);
      assertThat(vicuna.shape("model.embed_tokens.weight")).containsExactly(701, 128);
      assertThat(vicuna.describe()).contains("2 files");
      assertThat(vicuna.source("lm_head.weight")).endsWith("-00002-of-00002.bin");
    }
  }

  @Test
  void readsTheSameLlamaFromEveryFormat() {
    try (Checkpoint sharded = Checkpoints.open(golden("llama_sharded_safetensors"));
        Checkpoint legacy = Checkpoints.open(golden("llama_legacy_bin"))) {
      assertThat(legacy.describe()).contains("legacy");
      assertThat(legacy.names()).containsAll(sharded.names());
      for (String name : sharded.names()) {
        assertThat(bytes(legacy.tensor(name))).as(name).isEqualTo(bytes(sharded.tensor(name)));
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "pickles/refused.pth, asks for 'posix.getcwd'",
    "pickles/refused_legacy.pth, asks for 'posix.getcwd'",
    "pickles/big_endian.pth, big-endian machine",
  })
  void refusesByName(String name, String reason) {
    assertThatThrownBy(() -> Checkpoints.open(golden(name)))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(Path.of(name).getFileName().toString())
        .hasMessageContaining(reason);
  }

  @ParameterizedTest
  @ValueSource(strings = {"pickles/odd_tensors.pth", "pickles/odd_tensors_legacy.pth"})
  void refusesEveryTruncation(String name) throws IOException {
    byte[] whole = Files.readAllBytes(golden(name));
    Path cut = dir.resolve("cut.pth");
    for (int length = 1; length < whole.length; length += 97) {
      Files.write(cut, Arrays.copyOf(whole, length));
      assertThatThrownBy(() -> Checkpoints.open(cut).close())
          .isInstanceOf(UserException.class)
          .hasMessageContaining("cut.pth");
    }
  }
}
