package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The expected tensors gave the logits of Meta's arithmetic when the golden files were made. */
class LlamaCommandTest {
  private static final Path META = Tiny.FILES.resolveSibling("weights/meta");
  private static final Path TOKENIZER = Tiny.FILES.resolve("vicuna/tokenizer.model");

  @TempDir Path dir;

  private Tool.Result convert(Path from, Object... more) {
    Object[] all = new Object[6 + more.length];
    Object[] first = {"llama", from, "--tokenizer", TOKENIZER, "-o", dir.resolve("out")};
    System.arraycopy(first, 0, all, 0, first.length);
    System.arraycopy(more, 0, all, first.length, more.length);
    return Tool.run(all);
  }

  @Test
  void ranksAreJoinedAndRowsReordered() {
    Tool.Result result = convert(META, "--shard-size", "30k");

    assertThat(result.err()).isEmpty();
    assertThat(result.out()).contains("rope.freqs");
    try (Checkpoint found = Checkpoints.open(dir.resolve("out"));
        Checkpoint expected = SafeTensors.open(META.resolveSibling("meta.safetensors"))) {
      assertThat(found.names()).containsExactlyInAnyOrderElementsOf(expected.names());
      for (String name : expected.names()) {
        assertThat(found.shape(name)).isEqualTo(expected.shape(name));
        assertThat(Tiny.bytes(found, name)).as(name).isEqualTo(Tiny.bytes(expected, name));
      }
    }
    LlamaConfig config = LlamaConfig.read(dir.resolve("out"));
    assertThat(config.vocabSize()).isEqualTo(702);
    assertThat(config.intermediateSize()).isEqualTo(48);
    assertThat(config.maxPositionEmbeddings()).isEqualTo(2048);
  }

  @Test
  void theFolderIsALanguageModelToConvertWith() {
    assertThat(convert(META, "--dtype", "bf16", "--context", "512").exitCode()).isZero();
    LlamaConfig config = LlamaConfig.read(dir.resolve("out"));
    assertThat(config.maxPositionEmbeddings()).isEqualTo(512);
    assertThat(config.rmsNormEps()).isEqualTo(1e-6f);
  }

  @Test
  void aRankThatIsMissingIsNamed() throws IOException {
    Path files = Tiny.copy(META, dir.resolve("files"));
    Files.delete(files.resolve("consolidated.00.pth"));
    Tiny.assertRefused(convert(files), "lacks consolidated.00.pth");

    Files.copy(META.resolve("consolidated.00.pth"), files.resolve("consolidated.00.pth"));
    Files.delete(files.resolve("consolidated.01.pth"));
    Tiny.assertRefused(convert(files), "consolidated.00.pth", "is expected");
    assertThat(dir.resolve("out")).doesNotExist();
  }

  @Test
  void tensorsThatAreNoMatricesAreRefused() throws IOException {
    for (String name : List.of("tok_embeddings.weight", "layers.0.feed_forward.w1.weight")) {
      Path files = Tiny.copy(META, dir.resolve(name));
      Path first = files.resolve("consolidated.00.pth");
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      try (Checkpoint checkpoint = Checkpoints.open(first)) {
        checkpoint.names().forEach(each -> tensors.put(each, checkpoint.tensor(each)));
        tensors.put(name, Tensor.of(DType.F32, MemorySegment.ofArray(new byte[20]), 5));
        SafeTensorsWriter.write(files.resolve("new"), tensors, Map.of());
      }
      Files.move(files.resolve("new"), first, StandardCopyOption.REPLACE_EXISTING);
      Tiny.assertRefused(convert(files), name, "[5]");
    }
  }

  @Test
  void aFolderWithoutMetasFilesIsRefused() {
    Tiny.assertRefused(convert(Tiny.FILES), "params.json");
    Tiny.assertRefused(convert(dir.resolve("nowhere")), "nowhere is not a folder");
  }
}
