package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.QuantisedTensors;
import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.checkpoint.SafeTensors;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.generate.GenerationListener;
import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The built-in model with weights in 8 and 4 bits: dialogues are the same as in 16 bits. */
class QuantisedChatTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(120).build();

  private final ConfigNode golden = JsonFile.read(Goldens.path("demo.json"));
  private final Picture picture = Pictures.read(Goldens.documented(golden.get("image").asText()));

  @TempDir private Path folder;

  private List<String> wanted() {
    return firstDialogue().stream().map(turn -> turn.get("text").asText()).toList();
  }

  private List<ConfigNode> firstDialogue() {
    return golden.get("dialogues").asList().getFirst().asList();
  }

  /** What a model says in the first dialogue. */
  private List<String> said(Ops ops, ModelSource source, @Nullable Quantiser quantiser) {
    List<String> answers = new ArrayList<>();
    ModelLoader loader = new ModelLoader(List.of(ops), LoadListener.NONE, quantiser);
    try (MiniGpt4 model = loader.load(source, null);
        ChatSession session = new ChatSession(model, new ImageCache(model, 1))) {
      session.addImage(picture);
      for (ConfigNode turn : firstDialogue()) {
        String question = turn.get("prompt").asText();
        answers.add(session.ask(question, GREEDY, GenerationListener.NONE).text());
      }
    }
    return answers;
  }

  @ParameterizedTest
  @EnumSource(names = {"Q8", "Q4"})
  void quantisedWhileLoading(DType type) {
    try (CpuOps ops = CpuOps.create(2)) {
      assertThat(said(ops, new ModelSource.BuiltIn(), new Quantiser(type, 32))).isEqualTo(wanted());
    }
  }

  /** Layer 0 in 8 bits, layers 1 and 2 in 4 bits and groups of their own, the others in 16. */
  private void writeMixedFolder() throws IOException {
    for (String name : List.of("config.json", "tokenizer.model", "model.safetensors")) {
      try (InputStream in = MiniGpt4.class.getResourceAsStream("/io/minigpt4/demo/" + name)) {
        Files.copy(Objects.requireNonNull(in), folder.resolve(name));
      }
    }
    Path weights = folder.resolve("model.safetensors");
    Path plain = Files.move(weights, folder.resolve("plain"));
    try (Arena arena = Arena.ofShared();
        SafeTensors demo = SafeTensors.open(plain)) {
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      for (String name : demo.names()) {
        Quantiser quantiser = name.endsWith("_proj.weight") ? quantiserOf(name) : null;
        if (quantiser == null) {
          tensors.put(name, demo.tensor(name));
        } else {
          add(tensors, name, quantiser.quantise(demo.tensor(name), arena).matrix());
        }
      }
      SafeTensorsWriter.write(weights, tensors, Map.of());
    }
    Files.delete(plain);
  }

  private static @Nullable Quantiser quantiserOf(String name) {
    if (name.contains("llama_model.model.layers.0.")) {
      return new Quantiser(DType.Q8, Quantiser.DEFAULT_GROUP);
    }
    if (name.contains("llama_model.model.layers.1.")) {
      return new Quantiser(DType.Q4, 16);
    }
    // In this one queries, keys and values do not go together.
    return name.contains("llama_model.model.layers.2.")
        ? new Quantiser(DType.Q4, name.contains("k_proj") ? 16 : 32)
        : null;
  }

  private static void add(Map<String, Tensor> tensors, String name, Tensor matrix) {
    boolean bytes = matrix.dtype() == DType.Q8;
    long rows = matrix.rows();
    tensors.put(
        name,
        Tensor.of(
            bytes ? DType.I8 : DType.U8,
            matrix.segment(),
            rows,
            matrix.segment().byteSize() / rows));
    Tensor scales = matrix.scales();
    tensors.put(name + QuantisedTensors.SCALES, bytes ? scales.reshape(rows) : scales);
  }

  @Test
  void aMixedFolderOnTheProcessorAndOnAGpu() throws IOException {
    writeMixedFolder();
    ModelSource source = new ModelSource.Folder(folder);
    try (CpuOps cpu = CpuOps.createScalar(2)) {
      assertThat(said(cpu, source, null)).isEqualTo(wanted());
    }
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps gpu = cuda.open(0)) {
      assertThat(said(gpu, source, null)).isEqualTo(wanted());
      assertThat(gpu.capturedSteps()).as("decode steps captured as graphs").isEqualTo(1);
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }
}
