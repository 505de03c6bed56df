package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.RandomCheckpoint;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SynthCommandTest {
  @TempDir Path dir;

  private Path synth(String name, Object... more) {
    Path out = dir.resolve(name);
    Object[] all = new Object[5 + more.length];
    Object[] first = {"synth", "--preset", "demo", "-o", out};
    System.arraycopy(first, 0, all, 0, first.length);
    System.arraycopy(more, 0, all, first.length, more.length);
    Tool.Result result = Tool.run(all);
    assertThat(result.err()).isEmpty();
    assertThat(result.exitCode()).isZero();
    return out;
  }

  @Test
  void whatIsWrittenIsWhatIsMadeAtLoad() {
    Path written = synth("written", "--seed", 7, "--shard-size", "5M");
    Path atLoad = synth("at-load", "--seed", 7, "--at-load");
    assertThat(atLoad.toFile().list())
        .containsExactlyInAnyOrder("config.json", "tokenizer.model", "checksums.json");

    ModelConfig config = ModelConfig.read(atLoad.resolve("config.json"));
    assertThat(config.synthetic()).isEqualTo(new ModelConfig.Synthetic(7, DType.F16));
    try (Checkpoint files = Checkpoints.open(written);
        Checkpoint made = new RandomCheckpoint(config)) {
      assertThat(files.names()).containsExactlyInAnyOrderElementsOf(made.names());
      for (String name : made.names()) {
        assertThat(Tiny.bytes(files, name)).as(name).isEqualTo(Tiny.bytes(made, name));
      }
    }
    for (Path folder : new Path[] {written, atLoad}) {
      try (CpuOps ops = CpuOps.createScalar(1);
          MiniGpt4 model = Tiny.load(folder, ops)) {
        assertThat(model.name()).isEqualTo("synthetic demo");
      }
    }
  }

  /** The way to large random models in few bits, with nothing of 16 bits on the disk. */
  @Test
  void whatIsMadeAtLoadIsWrittenByTheOtherCommands() throws IOException {
    Path atLoad = synth("at-load", "--at-load");
    Path written = synth("written");
    Path exported = dir.resolve("exported");
    assertThat(Tool.run("export", atLoad, "-o", exported).exitCode()).isZero();
    assertThat(exported.resolve("config.json"))
        .hasSameBinaryContentAs(written.resolve("config.json"));
    assertThat(Tool.run("inspect", exported, written).exitCode()).isZero();

    Path one = dir.resolve("one");
    Path two = dir.resolve("two");
    assertThat(Tool.run("quantize", "--bits", 4, atLoad, "-o", one).exitCode()).isZero();
    assertThat(Tool.run("quantize", "--bits", 4, written, "-o", two).exitCode()).isZero();
    for (String name : two.toFile().list()) {
      assertThat(one.resolve(name)).hasSameBinaryContentAs(two.resolve(name));
    }
    assertThat(Files.readString(one.resolve("config.json"))).doesNotContain("synthetic\"");
  }

  @Test
  void anotherSeedMakesOtherNumbersOfTheSameKind() {
    try (Checkpoint one = Checkpoints.open(synth("one", "--dtype", "f32"));
        Checkpoint two = Checkpoints.open(synth("two", "--dtype", "f32", "--seed", "2"))) {
      String name = "llama_model.model.layers.0.mlp.up_proj.weight";
      float[] values = Tiny.floats(one, name);
      assertThat(values).isNotEqualTo(Tiny.floats(two, name));
      double square = 0;
      for (float value : values) {
        square += (double) value * value;
      }
      assertThat(Math.sqrt(square / values.length)).isBetween(0.0195, 0.0205);
      assertThat(Tiny.floats(one, "llama_model.model.norm.weight")).containsOnly(1f);
      assertThat(Tiny.floats(one, "visual_encoder.blocks.0.attn.q_bias")).containsOnly(0f);
    }
  }

  @Test
  void presetsHaveThePublishedSizes() {
    ModelConfig config = Preset.VICUNA_13B.config();
    ModelConfig random =
        new ModelConfig(
            config.name(),
            config.vision(),
            config.qformer(),
            config.llama(),
            new ModelConfig.Synthetic(1, DType.F16));
    try (RandomCheckpoint made = new RandomCheckpoint(random)) {
      long vision = count(made, "visual_encoder.");
      assertThat(vision).isBetween(985_000_000L, 987_000_000L);
      assertThat(count(made, "llama_model.")).isEqualTo(13_015_874_560L);
      assertThat(count(made, "llama_proj.")).isEqualTo(3_937_280);
    }
  }

  private static long count(Checkpoint checkpoint, String prefix) {
    return checkpoint.names().stream()
        .filter(name -> name.startsWith(prefix))
        .mapToLong(name -> Tensor.elements(checkpoint.shape(name)))
        .sum();
  }

  @Test
  void wrongOptionsAreOneLine() {
    Tiny.assertRefused(
        Tool.run("synth", "--preset", "huge", "-o", dir.resolve("x")),
        "'huge' is none of vicuna-13b, vicuna-7b, mid, small, demo");
    Tiny.assertRefused(
        Tool.run("synth", "--preset", "demo", "--dtype", "keep", "-o", dir.resolve("x")),
        "--dtype keep");
    Tiny.assertRefused(
        Tool.run("synth", "--preset", "demo", "--seed", "-1", "-o", dir.resolve("x")), "--seed");
  }
}
