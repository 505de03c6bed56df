package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExportCommandTest {
  @TempDir Path dir;

  @Test
  void theProjectionBecomesAFileOfPyTorchs() throws IOException {
    Path model = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(model)).exitCode()).isZero();
    Path file = dir.resolve("projection.pth");
    Tool.Result result = Tool.run("export", model, "--projection", "-o", file);

    assertThat(result.err()).isEmpty();
    try (Checkpoint found = Checkpoints.open(file);
        Checkpoint original = Checkpoints.open(Tiny.FILES.resolve("pretrained_minigpt4.pth"))) {
      assertThat(found.names()).containsExactlyInAnyOrder("llama_proj.weight", "llama_proj.bias");
      for (String name : found.names()) {
        assertThat(found.dtype(name)).isEqualTo(DType.F32);
        assertThat(Tiny.bytes(found, name)).isEqualTo(Tiny.bytes(original, name));
      }
    }
    Path files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
    Files.move(file, files.resolve("pretrained_minigpt4.pth"), StandardCopyOption.REPLACE_EXISTING);
    Path again = dir.resolve("again");
    assertThat(Tool.run(Tiny.convert(files, again)).exitCode()).isZero();
    assertThat(Tool.run("inspect", model, again).exitCode()).isZero();
  }

  @Test
  void aModelIsWrittenInFilesOfASize() {
    Path model = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(model)).exitCode()).isZero();
    Path out = dir.resolve("shards");
    assertThat(Tool.run("export", model, "-o", out, "--shard-size", "500k").exitCode()).isZero();

    assertThat(out.toFile().list())
        .contains("config.json", "tokenizer.model", "model.safetensors.index.json")
        .hasSizeGreaterThan(8);
    assertThat(Tool.run("inspect", model, out).exitCode()).isZero();
    assertThat(Tool.run("verify", out).exitCode()).isZero();
  }

  @Test
  void whatIsMissingIsNamed() {
    Tiny.assertRefused(
        Tool.run(
            "export",
            Tiny.FILES.resolve("eva_vit_g.pth"),
            "--projection",
            "-o",
            dir.resolve("p.pth")),
        "llama_proj.weight");
    assertThat(dir.resolve("p.pth")).doesNotExist();
  }

  @Test
  void whatIsReadIsNotReplaced() throws IOException {
    Path model = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(model, "--shard-size", "1M")).exitCode()).isZero();
    Path shard = model.resolve("model-00001-of-00003.safetensors");
    byte[] before = Files.readAllBytes(shard);
    Path link = Files.createSymbolicLink(dir.resolve("link"), model);
    for (Path from : List.of(model, link, model.resolve("model.safetensors.index.json"))) {
      Tiny.assertRefused(
          Tool.run("export", from, "--projection", "-o", shard), "belongs to what is read");
    }
    Path file = dir.resolve("p.pth");
    assertThat(Tool.run("export", model, "--projection", "-o", file).exitCode()).isZero();
    assertThat(Tool.run("export", model, "--projection", "-o", file).exitCode()).isZero();
    Tiny.assertRefused(Tool.run("export", file, "--projection", "-o", file), "belongs to what");
    assertThat(shard).hasBinaryContent(before);
    assertThat(Tool.run("verify", model).exitCode()).isZero();
  }

  @Test
  void aPlaceThatNoFileCanTakeIsNamed() {
    Path from = Tiny.FILES.resolve("pretrained_minigpt4.pth");
    Tiny.assertRefused(Tool.run("export", from, "--projection", "-o", dir), dir + " is a folder");
    assertThat(dir).isEmptyDirectory();
    Tiny.assertRefused(
        Tool.run("export", from, "--projection", "-o", dir.resolve("nowhere/p.pth")),
        "its folder does not exist");
  }
}
