package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The expected sums were made by PyTorch, on Transformers' model. */
class DeltaTest {
  private static final Path FILES = Tiny.FILES.resolveSibling("weights");

  @TempDir Path dir;
  private Path base = Path.of("");

  @BeforeEach
  void giveTheBaseATokenizer() throws IOException {
    base = Tiny.copy(FILES.resolve("base"), dir.resolve("base"));
    Files.copy(Tiny.FILES.resolve("vicuna/tokenizer.model"), base.resolve("tokenizer.model"));
  }

  private Tool.Result apply(Path from, Path delta, Object... more) {
    Object[] all = new Object[7 + more.length];
    Object[] first = {"apply-delta", "--base", from, "--delta", delta, "-o", dir.resolve("out")};
    System.arraycopy(first, 0, all, 0, first.length);
    System.arraycopy(more, 0, all, first.length, more.length);
    return Tool.run(all);
  }

  @Test
  void theBaseIsNotItsOwnDelta() {
    Tiny.assertRefused(apply(base, base), "both the base and the delta");
    assertThat(dir.resolve("out")).doesNotExist();
  }

  private void assertSums(String version, int rows) {
    Tool.Result result = apply(base, FILES.resolve("delta_" + version), "--shard-size", "64k");
    assertThat(result.err()).isEmpty();
    assertThat(result.exitCode()).isZero();
    assertThat(result.out()).contains("ignored in the delta: 2 tensors", "inv_freq");
    Path out = dir.resolve("out");
    try (Checkpoint found = Checkpoints.open(out);
        Checkpoint expected = SafeTensors.open(FILES.resolve("sum_" + version + ".safetensors"))) {
      assertThat(found.names()).containsExactlyInAnyOrderElementsOf(expected.names());
      for (String name : expected.names()) {
        assertThat(found.shape(name)).isEqualTo(expected.shape(name));
        assertThat(Tiny.bytes(found, name)).as(name).isEqualTo(Tiny.bytes(expected, name));
      }
    }
    assertThat(LlamaConfig.read(out).vocabSize()).isEqualTo(rows);
    assertThat(out.resolve("tokenizer.model")).exists();
    assertThat(out.resolve("generation_config.json")).exists();
  }

  @Test
  void aDeltaWithARowMoreIsAddedToTheBaseWithZerosBelow() {
    assertSums("v0", 131);
  }

  @Test
  void aDeltaOfTheBasesSizeIsAdded() {
    assertSums("v1", 130);
  }

  @Test
  void aBaseInAnotherTypeIsRoundedToFloat16First() {
    Path wide = dir.resolve("wide");
    Tiny.copy(base, wide);
    try (Checkpoint half = Checkpoints.open(base)) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      for (String name : half.names()) {
        tensors.put(name, Tiny.tensor(Tiny.floats(half, name), half.shape(name)));
      }
      SafeTensorsWriter.write(wide.resolve("model.safetensors"), tensors, Map.of());
    }
    base = wide;
    assertSums("v0", 131);
  }

  @Test
  void aDeltaOfAnotherBaseIsRefused() throws IOException {
    SplittableRandom random = new SplittableRandom(3);
    Path other = Tiny.copy(base, dir.resolve("other"));
    try (Checkpoint real = Checkpoints.open(base)) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      for (String name : real.names()) {
        float[] values = Tiny.floats(real, name);
        for (int i = values.length - 1; i > 0; i--) { // the same numbers in other places
          int j = random.nextInt(i + 1);
          float swapped = values[i];
          values[i] = values[j];
          values[j] = swapped;
        }
        tensors.put(name, Tiny.tensor(values, real.shape(name)));
      }
      SafeTensorsWriter.write(other.resolve("model.safetensors"), tensors, Map.of());
    }
    Path delta = FILES.resolve("delta_v0");

    Tiny.assertRefused(apply(other, delta), "do not belong together", "need no rounding");
    assertThat(dir.resolve("out")).doesNotExist();
    assertThat(apply(other, delta, "--force").exitCode()).isZero();
  }

  @Test
  void aWholeModelIsNoDelta() throws IOException {
    Path whole = Tiny.copy(FILES.resolve("base"), dir.resolve("whole"));
    try (Checkpoint sum = SafeTensors.open(FILES.resolve("sum_v1.safetensors"))) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      sum.names().forEach(name -> tensors.put(name, sum.tensor(name)));
      SafeTensorsWriter.write(whole.resolve("model.safetensors"), tensors, Map.of());
    }
    Tiny.assertRefused(apply(base, whole), "do not belong together", "no delta");
  }

  @Test
  void sizesThatDifferAreNamed() {
    Tiny.assertRefused(
        apply(Tiny.FILES.resolve("vicuna"), FILES.resolve("delta_v0")),
        "do not belong together",
        "hidden_size is 128 in the base and 64 in the delta");
  }

  @Test
  void aBaseThatIsHalfWrittenIsRefused() throws IOException {
    Files.writeString(base.resolve(Checkpoints.UNFINISHED), "{}");
    Tiny.assertRefused(apply(base, FILES.resolve("delta_v0")), "half written");
  }
}
