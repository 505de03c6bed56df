package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConvertCommandTest {
  @TempDir Path dir;

  /** Published name in its file, name in the model folder. */
  private static final Map<String, List<String>> SAMPLES =
      Map.of(
          "visual_encoder.blocks.1.attn.qkv.weight",
          List.of("eva_vit_g.pth", "blocks.1.attn.qkv.weight"),
          "query_tokens",
          List.of("blip2_pretrained_flant5xxl.pth", "query_tokens"),
          "Qformer.bert.encoder.layer.2.crossattention.self.key.weight",
          List.of(
              "blip2_pretrained_flant5xxl.pth",
              "Qformer.bert.encoder.layer.2.crossattention.self.key.weight"),
          "llama_proj.weight",
          List.of("pretrained_minigpt4.pth", "llama_proj.weight"),
          "llama_model.lm_head.weight",
          List.of("vicuna", "lm_head.weight"));

  private static void assertSameAsSources(Path folder) {
    try (Checkpoint model = Checkpoints.open(folder)) {
      SAMPLES.forEach(
          (name, source) -> {
            try (Checkpoint file = Checkpoints.open(Tiny.FILES.resolve(source.getFirst()))) {
              String published = source.getLast();
              assertThat(model.dtype(name)).isEqualTo(file.dtype(published));
              assertThat(model.shape(name)).isEqualTo(file.shape(published));
              assertThat(Tiny.bytes(model, name)).isEqualTo(Tiny.bytes(file, published));
            }
          });
    }
  }

  @Test
  void theFilesBecomeAFolderThatLoads() {
    Path out = dir.resolve("new/model");
    Tool.Result result = Tool.run(Tiny.convert(out));

    assertThat(result.err()).isEmpty();
    assertThat(result.exitCode()).isZero();
    assertThat(result.out())
        .contains("ignored in blip2_pretrained_flant5xxl.pth: 23 tensors", "t5_proj.weight")
        .contains("model.layers.*.self_attn.rotary_emb.inv_freq × 2")
        .contains("126 tensors");
    assertSameAsSources(out);
    try (CpuOps ops = CpuOps.createScalar(1);
        MiniGpt4 model = Tiny.load(out, ops)) {
      assertThat(model.name()).isEqualTo("MiniGPT-4 with vicuna");
      assertThat(model.llama().config().vocabSize()).isEqualTo(701);
      assertThat(model.rowsPerImage()).isEqualTo(8);
    }
    assertThat(out.toFile().list())
        .containsExactlyInAnyOrder(
            "checksums.json", "config.json", "model.safetensors", "tokenizer.model");
  }

  @Test
  void shardsComeWithAnIndex() {
    Path out = dir.resolve("model");
    assertThat(Tool.run(Tiny.convert(out, "--shard-size", "400kB")).exitCode()).isZero();

    assertThat(out.resolve("model.safetensors.index.json")).exists();
    assertThat(out.toFile().list((unused, name) -> name.endsWith(".safetensors")))
        .hasSizeGreaterThan(4);
    assertSameAsSources(out);
  }

  @Test
  void weightsAreWrittenInTheTypeThatIsAskedFor() {
    for (String type : List.of("f32", "f16", "bf16")) {
      Path out = dir.resolve(type);
      assertThat(Tool.run(Tiny.convert(out, "--dtype", type)).exitCode()).isZero();
      try (Checkpoint model = Checkpoints.open(out);
          Checkpoint file = Checkpoints.open(Tiny.FILES.resolve("pretrained_minigpt4.pth"))) {
        assertThat(model.names()).allMatch(name -> model.dtype(name).name().equalsIgnoreCase(type));
        float[] exact = Tiny.floats(file, "llama_proj.weight");
        float[] found = Tiny.floats(model, "llama_proj.weight");
        double step = type.equals("f32") ? 0 : type.equals("f16") ? 0x1p-11 : 0x1p-8;
        for (int i = 0; i < exact.length; i++) {
          double error = Math.abs((double) exact[i] - found[i]);
          assertThat(error).isLessThanOrEqualTo(step * Math.abs(exact[i]) + 0x1p-25);
        }
      }
    }
  }

  @Test
  void aValueThatFloat16CannotHoldIsReported() {
    Path files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
    Path projection = files.resolve("pretrained_minigpt4.pth");
    float[] weight = new float[128 * 128];
    weight[77] = 1e6f;
    SafeTensorsWriter.write(
        projection,
        Map.of(
            "llama_proj.weight", Tiny.tensor(weight, 128, 128),
            "llama_proj.bias", Tiny.tensor(new float[128], 128)),
        Map.of());
    Path out = dir.resolve("model");

    Tiny.assertRefused(
        Tool.run(Tiny.convert(files, out, "--dtype", "f16")), "llama_proj.weight", "bf16");
    Tiny.assertDoesNotLoad(out);
    assertThat(Tool.run(Tiny.convert(files, dir.resolve("b"), "--dtype", "bf16")).exitCode())
        .isZero();
  }

  @Test
  void theFilesOfAYamlConfigurationAreTaken() throws IOException {
    Path yaml = dir.resolve("eval.yaml");
    Files.writeString(yaml, "model:\n  arch: mini_gpt4\n  image_size: 56\n");
    Path out = dir.resolve("model");
    Tool.Result result =
        Tool.run(
            "convert",
            "--cfg-path",
            yaml,
            "-o",
            out,
            "--options",
            "model.vit_model=" + Tiny.FILES.resolve("eva_vit_g.pth"),
            "model.q_former_model=" + Tiny.FILES.resolve("blip2_pretrained_flant5xxl.pth"),
            "model.llama_model=" + Tiny.FILES.resolve("vicuna"),
            "model.ckpt=" + Tiny.FILES.resolve("pretrained_minigpt4.pth"));

    assertThat(result.err()).isEmpty();
    assertThat(result.exitCode()).isZero();
    assertSameAsSources(out);
  }

  @Test
  void filesThatDoNotBelongTogetherAreRefusedBeforeAnythingIsWritten() {
    Path files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
    Path projection = files.resolve("pretrained_minigpt4.pth");
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    tensors.put("llama_proj.weight", Tiny.tensor(new float[64 * 128], 64, 128));
    tensors.put("llama_proj.bias", Tiny.tensor(new float[64], 64));
    SafeTensorsWriter.write(projection, tensors, Map.of());
    Path out = dir.resolve("model");

    Tiny.assertRefused(
        Tool.run(Tiny.convert(files, out)), "llama_proj.weight", "[64, 128]", "[128, 128]");
    assertThat(out).doesNotExist();
  }

  @Test
  void aLayerMoreThanTheConfigSaysIsNotPassedOver() throws IOException {
    Path files = Tiny.copy(Tiny.FILES, dir.resolve("files"));
    Path config = files.resolve("vicuna/config.json");
    Files.writeString(
        config,
        Files.readString(config)
            .replaceAll("\"num_hidden_layers\": *2", "\"num_hidden_layers\": 1"));
    Tiny.assertRefused(Tool.run(Tiny.convert(files, dir.resolve("m"))), "one layer more");
  }

  @Test
  void aMissingOptionIsNamed() {
    Tiny.assertRefused(Tool.run("convert", "-o", dir.resolve("m")), "--vit-model is missing");
    Tiny.assertRefused(
        Tool.run(Tiny.convert(dir.resolve("m"), "--shard-size", "many")), "--shard-size 'many'");
    Tiny.assertRefused(Tool.run(Tiny.convert(dir.resolve("m"), "--dtype", "int3")), "int3");
  }

  @Test
  void aConvertedProjectionIsTheOneOfTheFile() {
    Path out = dir.resolve("m");
    assertThat(Tool.run(Tiny.convert(out)).exitCode()).isZero();
    try (SafeTensors model = SafeTensors.open(out.resolve("model.safetensors"))) {
      assertThat(model.metadata()).containsEntry("format", "pt");
    }
  }
}
