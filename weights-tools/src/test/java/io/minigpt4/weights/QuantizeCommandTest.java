package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.checkpoint.QuantisingCheckpoint;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuantizeCommandTest {
  private static final String MATRIX = "llama_model.model.layers.1.mlp.down_proj.weight";

  @TempDir private Path dir;
  private Path model = Path.of("");

  @BeforeEach
  void convert() {
    model = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(model)).exitCode()).isZero();
  }

  private Tool.Result quantize(Path out, Object... more) {
    Object[] all = new Object[4 + more.length];
    all[0] = "quantize";
    all[1] = model;
    all[2] = "-o";
    all[3] = out;
    System.arraycopy(more, 0, all, 4, more.length);
    return Tool.run(all);
  }

  @Test
  void bothWidthsLoadAndSayWhatTheyLost() {
    for (int bits : new int[] {8, 4}) {
      Path out = dir.resolve("q" + bits);
      Tool.Result result = quantize(out, "--bits", bits, "--shard-size", "300k");
      assertThat(result.err()).isEmpty();
      assertThat(result.exitCode()).isZero();
      assertThat(result.out())
          .containsOnlyOnce(MATRIX + " " + bits + " bits, error ")
          .containsOnlyOnce("llama_model.lm_head.weight 8 bits, error ")
          .contains(" matrices, error ");
      assertThat(out.resolve("tokenizer.model"))
          .hasSameBinaryContentAs(model.resolve("tokenizer.model"));
      assertThat(Tool.run("verify", out).err()).isEmpty();
      assertThat(Tool.run("inspect", out).out())
          .contains(
              "down_proj.weight  " + bits + " bits[",
              bits == 8 ? ", a scale a row" : "groups of 32")
          .contains(" Q" + bits)
          .doesNotContain(" U8", " I8");
      try (Checkpoint folder = Checkpoints.open(out);
          Checkpoint original = Checkpoints.open(model)) {
        assertThat(folder.dtype(MATRIX)).isEqualTo(bits == 8 ? DType.I8 : DType.U8);
        assertThat(folder.contains(MATRIX + ".scales")).isTrue();
        String norm = "llama_model.model.norm.weight";
        assertThat(Tiny.bytes(folder, norm)).isEqualTo(Tiny.bytes(original, norm));
      }
      try (CpuOps ops = CpuOps.create(1);
          MiniGpt4 loaded = Tiny.load(out, ops)) {
        assertThat(loaded.llama().head().dtype()).isEqualTo(DType.Q8);
      }
    }
  }

  private static QuantisingCheckpoint view(Checkpoint original, int bits) {
    Quantiser quantiser = new Quantiser(bits == 8 ? DType.Q8 : DType.Q4, Quantiser.DEFAULT_GROUP);
    return new QuantisingCheckpoint(original, "llama_model.", quantiser);
  }

  @Test
  void bytesAreThoseOfMatricesThatAreQuantisedAsAWhole() {
    for (int bits : new int[] {8, 4}) {
      Path out = dir.resolve("bytes" + bits);
      assertThat(quantize(out, "--bits", bits, "--shard-size", "1k").exitCode()).isZero();
      try (Checkpoint folder = Checkpoints.open(out);
          Checkpoint view = view(Checkpoints.open(model), bits)) {
        assertThat(folder.names()).hasSameElementsAs(view.names());
        for (String name : view.names()) {
          assertThat(Tiny.bytes(folder, name)).as(name).isEqualTo(Tiny.bytes(view, name));
        }
      }
    }
  }

  /** As when the integers are in a file of an earlier run. */
  @Test
  void scalesAreMadeWithoutTheIntegersToo() {
    for (int bits : new int[] {8, 4}) {
      try (Checkpoint original = Checkpoints.open(model)) {
        QuantisingCheckpoint view = view(original, bits);
        String name = MATRIX + ".scales";
        QuantisingCheckpoint.Part part = Objects.requireNonNull(view.part(name));
        List<String> heard = new ArrayList<>();
        QuantisedMatrix matrix =
            new QuantisedMatrix(
                original,
                view,
                part.matrix(),
                part.quantiser(),
                (quantised, type, deviation) -> heard.add(quantised));
        PlannedTensor scales = matrix.new Scales(name);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (StretchPipeline pipeline = new StretchPipeline(List.of(scales))) {
          pipeline.make(
              scales, stretch -> bytes.writeBytes(stretch.toArray(ValueLayout.JAVA_BYTE)));
        }
        assertThat(bytes.toByteArray()).isEqualTo(Tiny.bytes(view, name));
        assertThat(heard).containsExactly(MATRIX);
      }
    }
  }

  @Test
  void aFinishedFolderIsNotWrittenAgain() {
    Path out = dir.resolve("once");
    assertThat(quantize(out, "--bits", 4).exitCode()).isZero();
    Tiny.assertRefused(quantize(out, "--bits", 4), "not empty");
  }

  @Test
  void aLlamaFolder() {
    model = Tiny.FILES.resolve("vicuna");
    Path out = dir.resolve("vicuna4");
    assertThat(quantize(out, "--bits", 4, "--group", 64).exitCode()).isZero();
    try (Checkpoint folder = Checkpoints.open(out)) {
      assertThat(folder.dtype("model.layers.0.self_attn.q_proj.weight")).isEqualTo(DType.U8);
      assertThat(folder.dtype("model.embed_tokens.weight").isFloating()).isTrue();
    }
    assertThat(out.resolve("config.json")).exists();
  }

  @Test
  void badInput() throws IOException {
    Path out = dir.resolve("out");
    Tiny.assertRefused(quantize(out, "--bits", 3), "--bits must be 8 or 4, not 3");
    Tiny.assertRefused(quantize(out, "--bits", 4, "--group", 33), "--group", "33");
    assertThat(quantize(dir.resolve("q8"), "--bits", 8).exitCode()).isZero();
    model = dir.resolve("q8");
    Tiny.assertRefused(quantize(out, "--bits", 4), "no matrices of 16 or 32 bits");
    model = dir.resolve("nowhere");
    Tiny.assertRefused(quantize(out, "--bits", 4), "not a folder");
    model = Files.createDirectory(dir.resolve("vision"));
    Files.copy(Tiny.FILES.resolve("pretrained_minigpt4.pth"), model.resolve("pytorch_model.bin"));
    Tiny.assertRefused(quantize(out, "--bits", 4), "holds no language model");
    assertThat(out).doesNotExist();
  }
}
