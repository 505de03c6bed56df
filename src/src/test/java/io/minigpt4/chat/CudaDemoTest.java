package io.minigpt4.chat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
import io.minigpt4.softgpu.SoftGpuOptions;
import io.minigpt4.tensor.Ops;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The built-in model on software GPUs: it sees and says what it does on the processor. */
class CudaDemoTest {
  private static final GenerationConfig GREEDY =
      GenerationConfig.builder().temperature(0).maxNewTokens(120).build();

  private final ConfigNode golden = JsonFile.read(Goldens.path("demo.json"));
  private final Picture picture = Pictures.read(Goldens.documented(golden.get("image").asText()));

  private static MiniGpt4 load(List<Ops> devices) {
    return new ModelLoader(devices, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
  }

  @Test
  void imageRowsAndTheFirstDialogue() {
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps gpu = cuda.open(0);
        CpuOps cpu = CpuOps.createScalar(2);
        MiniGpt4 onGpu = load(List.of(gpu));
        MiniGpt4 onCpu = load(List.of(cpu))) {
      float[] expected = onCpu.encode(picture).toArray(ValueLayout.JAVA_FLOAT);
      float[] rows = onGpu.encode(picture).toArray(ValueLayout.JAVA_FLOAT);
      Goldens.assertNear("image rows", rows, expected, 1e-2);
      List<String> differences = new ArrayList<>();
      try (ChatSession session = new ChatSession(onGpu, new ImageCache(onGpu, 1))) {
        session.addImage(picture);
        for (ConfigNode turn : golden.get("dialogues").asList().getFirst().asList()) {
          String question = turn.get("prompt").asText();
          Answer answer = session.ask(question, GREEDY, GenerationListener.NONE);
          if (!answer.text().equals(turn.get("text").asText())) {
            differences.add(question + ": " + answer.text());
          }
        }
      }
      assertThat(differences).isEmpty();
      assertThat(gpu.capturedSteps()).as("decode steps captured as graphs").isEqualTo(1);
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  @Test
  void manyConversations() {
    List<ChatRequest> requests = new ArrayList<>();
    String[] questions = {"How many objects are there?", "Describe the picture.", "Hello"};
    for (int i = 0; i < 3; i++) {
      Picture[] shown = i < 2 ? new Picture[] {picture} : new Picture[0];
      GenerationConfig config = GREEDY.toBuilder().maxNewTokens(4 + 3 * i).build();
      requests.add(ChatRequest.of(config, ChatRequest.Turn.human(questions[i], shown)));
    }
    try (SoftCuda cuda = SoftCuda.create();
        CudaOps gpu = cuda.open(0);
        CpuOps cpu = CpuOps.createScalar(2);
        MiniGpt4 onGpu = load(List.of(gpu));
        MiniGpt4 onCpu = load(List.of(cpu))) {
      assertThat(answers(onGpu, requests)).isEqualTo(answers(onCpu, requests));
      assertThat(gpu.capturedSteps())
          .as("a captured step for each number of rows, and how many there are is chance")
          .isBetween(1, 3);
      assertThat(cuda.driver().faults()).isEmpty();
      assertThat(onGpu.llama().pool().usedPages()).isZero();
    }
  }

  private static List<String> answers(MiniGpt4 model, List<ChatRequest> requests) {
    List<Recorder> recorders = new ArrayList<>();
    try (ChatEngine engine = ChatEngine.start(model, EngineLimits.of(model, 4, 4))) {
      for (ChatRequest request : requests) {
        recorders.add(new Recorder());
        engine.submit(request, recorders.getLast());
      }
      return recorders.stream().map(recorder -> recorder.await().text()).toList();
    }
  }

  @Test
  void layersOnTwoDevices() {
    GenerationConfig few = GenerationConfig.builder().temperature(0).maxNewTokens(6).build();
    try (SoftCuda cuda = SoftCuda.create(SoftGpuOptions.defaults().withDevices(2));
        CudaOps first = cuda.open(0);
        CudaOps second = cuda.open(1);
        MiniGpt4 divided = load(List.of(first, second));
        ChatSession session = new ChatSession(divided, new ImageCache(divided, 1))) {
      session.addImage(picture);
      ConfigNode turn = golden.get("dialogues").asList().getFirst().asList().getFirst();
      Answer answer = session.ask(turn.get("prompt").asText(), few, GenerationListener.NONE);
      assertThat(answer.generation().ids().toIntArray())
          .isEqualTo(
              turn.get("token_ids").asList().stream()
                  .limit(6)
                  .mapToInt(id -> id.asInteger(0, Integer.MAX_VALUE))
                  .toArray());
      assertThat(first.capturedSteps()).isEqualTo(1);
      assertThat(second.capturedSteps()).isEqualTo(1);
      assertThat(cuda.driver().faults()).isEmpty();
    }
  }

  @Test
  void aConversationSurvivesItsDevice() {
    GenerationConfig few = GenerationConfig.builder().temperature(0).maxNewTokens(3).build();
    try (SoftCuda cuda = SoftCuda.create();
        CpuOps cpu = CpuOps.createScalar(2);
        MiniGpt4 other = load(List.of(cpu));
        CudaOps gpu = cuda.open(0);
        MiniGpt4 model = load(List.of(gpu));
        ChatSession session = new ChatSession(model, new ImageCache(model, 1))) {
      session.addImage(picture);
      session.ask("How many objects are there?", few, GenerationListener.NONE);
      int said = session.messages().size();
      // A kernel fails, and all that is asked of the device afterwards.
      cuda.driver().fail("cuLaunchKernel", 9, 719);
      cuda.driver().fail("cuStreamQuery", 1, 719);
      assertThatThrownBy(() -> session.ask("Describe it.", few, GenerationListener.NONE))
          .isInstanceOf(DeviceFailedException.class)
          .hasMessageContaining("cuda:0")
          .hasMessageContaining("CUDA_ERROR_LAUNCH_FAILED");
      assertThat(session.messages()).hasSize(said);
      session.resume(other);
      session.ask("Describe it.", few, GenerationListener.NONE);
      assertThat(session.messages()).hasSize(said + 2);
    }
  }
}
