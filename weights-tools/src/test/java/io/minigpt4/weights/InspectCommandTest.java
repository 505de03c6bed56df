package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InspectCommandTest {
  @TempDir Path dir;

  private Path write(String name, float value, String extra) {
    Path file = dir.resolve(name);
    SafeTensorsWriter.write(
        file,
        new LinkedHashMap<>(
            Map.of(
                "layers.0.weight",
                Tiny.tensor(new float[] {1, 2, 3, value}, 2, 2),
                "layers.1.weight",
                Tiny.tensor(new float[] {1, 2, 3, 4}, 2, 2),
                extra,
                Tiny.tensor(new float[] {5}, 1))),
        Map.of("made by", "a test"));
    return file;
  }

  @Test
  void tensorsAreShownAsATreeInWhichWhatIsAlikeIsOne() {
    Tool.Result result = Tool.run("inspect", write("a.safetensors", 4, "head.bias"));

    assertThat(result.exitCode()).isZero();
    assertThat(result.out())
        .contains("head.bias  F32[1]\n")
        .contains("layers  8 in 32 B\n")
        .contains("0–1.weight  F32[2, 2]  × 2\n")
        .contains("9 elements in 36 B: 3 F32\n")
        .contains("made by = a test\n");
  }

  @Test
  void hashesAreThoseOfTheBytes() {
    Tool.Result result = Tool.run("inspect", write("a.safetensors", 4, "x"), "--hash");
    // printf '\0\0\240\100' | sha256sum, which is 5 in float32
    assertThat(result.out())
        .contains("x  F32[1]  fca31f1667a6aa1bba12fca4e4ea1becd503379d80da3213af07f6cc5702828d")
        .doesNotContain("alike");
  }

  @Test
  void jsonIsForPrograms() throws IOException {
    Tool.Result result = Tool.run("inspect", Tiny.FILES.resolve("vicuna"), "--output", "json");
    int tensors = 0;
    try (JsonParser in = new JsonFactory().createParser(result.out())) {
      while (in.nextToken() != null) {
        tensors += "sha256".equals(in.currentName()) ? 100 : 0;
        tensors += "dtype".equals(in.currentName()) && in.currentToken().isScalarValue() ? 1 : 0;
      }
    }
    assertThat(tensors).isEqualTo(23);
    assertThat(result.out()).contains("\"elements\" : ");
  }

  @Test
  void twoFilesAreCompared() {
    Path a = write("a.safetensors", 4, "x");
    Path b = write("b.safetensors", 4.5f, "y");
    Tool.Result result = Tool.run("inspect", a, b);

    assertThat(result.exitCode()).isEqualTo(1);
    assertThat(result.out())
        .isEqualToNormalizingNewlines(
            """
            layers.0.weight: 1 of 4 values differ, by 0.5 at most
            x: only in the first
            y: only in the second
            1 tensor is the same
            """);
    assertThat(Tool.run("inspect", a, a).exitCode()).isZero();
    assertThat(Tool.run("inspect", a, b, "--output", "json").out())
        .contains("\"same\" : 1", "\"x\" : \"only in the first\"");
  }

  @Test
  void aTypeThatDiffersIsToldBesideTheValues() {
    Path half = dir.resolve("half");
    assertThat(
            Tool.run("export", write("a.safetensors", 4, "x"), "-o", half, "--dtype", "f16")
                .exitCode())
        .isZero();
    assertThat(Tool.run("inspect", dir.resolve("a.safetensors"), half).out())
        .contains("x: F32[1] and F16[1], equal values");
  }

  @Test
  void namesCannotCommandTheTerminal() {
    Path file = write("a.safetensors", 4, "\u001b[2Jx" + ".y".repeat(2000));
    Tool.Result result = Tool.run("inspect", file);
    assertThat(result.exitCode()).isZero();
    assertThat(result.out()).doesNotContain("\u001b").contains("\uFFFD[2Jx.y");
  }

  @Test
  void whatIsNoCheckpointIsOneLine() {
    Tiny.assertRefused(Tool.run("inspect", dir.resolve("none")), "does not exist");
    Tiny.assertRefused(Tool.run("inspect", dir), "has no checkpoint");
    Tiny.assertRefused(
        Tool.run("inspect", write("a.safetensors", 4, "x"), "--output", "xml"), "text or json");
  }
}
