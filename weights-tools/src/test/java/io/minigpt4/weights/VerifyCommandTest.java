package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VerifyCommandTest {
  @TempDir Path dir;

  private Path converted() {
    Path out = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(out, "--shard-size", "1M")).exitCode()).isZero();
    return out;
  }

  @Test
  void aWholeModelIsFoundRight() {
    Tool.Result result = Tool.run("verify", converted());
    assertThat(result.exitCode()).isZero();
    assertThat(result.out())
        .contains("checksums: 6 files")
        .contains("all of 126 tensors are finite")
        .contains("'MiniGPT-4 with vicuna' loads");
  }

  @Test
  void aBitThatTurnedIsFound() throws IOException {
    Path folder = converted();
    Path shard = folder.resolve("model-00002-of-00003.safetensors");
    byte[] bytes = Files.readAllBytes(shard);
    bytes[bytes.length / 2] ^= 4;
    Files.write(shard, bytes);
    Tiny.assertRefused(
        Tool.run("verify", folder), shard.getFileName().toString(), "checksum differs");
  }

  @Test
  void aFileThatIsGoneIsFound() throws IOException {
    Path folder = converted();
    Files.delete(folder.resolve("tokenizer.model"));
    Tiny.assertRefused(Tool.run("verify", folder), "tokenizer.model is missing");
  }

  @Test
  void valuesThatAreNotFiniteAreFound() {
    Path file = dir.resolve("w.safetensors");
    float[] values = new float[3 * Elements.BLOCK];
    values[Elements.BLOCK + 3] = Float.NaN;
    values[5] = Float.NEGATIVE_INFINITY;
    SafeTensorsWriter.write(file, Map.of("w", Tiny.tensor(values, values.length)), Map.of());
    Tiny.assertRefused(Tool.run("verify", file), "'w'", "2 values that are not finite");
  }

  @Test
  void aLanguageModelsShapesAreThoseOfItsConfig() throws IOException {
    Path folder = Tiny.copy(Tiny.FILES.resolve("vicuna"), dir.resolve("vicuna"));
    assertThat(Tool.run("verify", folder).out()).contains("as config.json says");
    Path config = folder.resolve("config.json");
    Files.writeString(config, Files.readString(config).replace("701", "702"));
    Tiny.assertRefused(Tool.run("verify", folder), "[701, 128]", "[702, 128]");
  }

  @Test
  void aKeyThatTheConfigDoesNotKnowIsWarnedOf() throws IOException {
    Path folder = converted();
    Files.delete(folder.resolve("checksums.json"));
    Path config = folder.resolve("config.json");
    Files.writeString(
        config, Files.readString(config).replace("\"version\"", "\"tokens\": 1, \"version\""));
    Tool.Result result = Tool.run("verify", folder);
    assertThat(result.err()).hasLineCount(1).contains("unknown key 'tokens' is ignored");
    assertThat(result.exitCode()).isZero();
  }

  @Test
  void aListOfChecksumsCannotNameFilesElsewhere() throws IOException {
    Path folder = converted();
    Files.writeString(
        folder.resolve("checksums.json"),
        "{\"files\": {\"../secret\": {\"bytes\": 1, \"crc32c\": \"00000000\"}}}");
    Tiny.assertRefused(Tool.run("verify", folder), "no file beside it");
  }
}
