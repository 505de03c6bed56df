package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cuda.CudaOps;
import io.minigpt4.cuda.SoftCuda;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The tiny models in float16 on a software GPU against Transformers in float32. */
class CudaGoldenTest {
  private static final double TOLERANCE = 1e-2;

  private static SoftCuda cuda;
  private static CudaOps ops;

  @BeforeAll
  static void open() {
    cuda = SoftCuda.create();
    ops = cuda.open(0);
  }

  @AfterAll
  static void close() {
    assertThat(cuda.driver().faults()).isEmpty();
    ops.close();
    cuda.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"llama_sharded_safetensors", "llama_bfloat16_bin", "llama_float32_safetensors"})
  void llamas(String folder) {
    ConfigNode goldens = JsonFile.read(Goldens.path("model/llama_folders.json"));
    int[] positions = ints(goldens.get("positions"));
    int[] ids =
        goldens.get("cases").asList().stream()
            .filter(c -> c.get("folder").asText().equals(folder))
            .map(c -> ints(c.get("ids")))
            .findFirst()
            .orElseThrow();
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/" + folder));
        Checkpoint tensors = Goldens.tensors("model/llama_folders.safetensors")) {
      LlamaConfig config = LlamaConfig.read(Goldens.path("tiny/" + folder));
      Llama llama = Llama.read(weights, "", config, ops);
      Tensor expected = tensors.tensor(folder + "/logits");
      KvCache cache = llama.newCache();
      Batch batch = new Batch(1);
      // In pieces that end where a golden row is: prefill after a cached past, across pages.
      for (int i = 0; i < positions.length; i++) {
        int from = cache.length();
        batch.clear();
        batch.add(cache, positions[i] + 1 - from);
        float[] actual = logits(llama, batch, Arrays.copyOfRange(ids, from, ids.length));
        Goldens.assertNear(
            "position " + positions[i], actual, HostFloats.of(expected.slice(i, i + 1)), TOLERANCE);
      }
    }
  }

  private static int[] ints(ConfigNode list) {
    return list.asList().stream().mapToInt(n -> n.asInteger(0, Integer.MAX_VALUE)).toArray();
  }

  private static float[] logits(Llama llama, Batch batch, int... ids) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) batch.size() * llama.config().vocabSize());
      llama.forward(batch, ids, null, logits);
      return logits.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  @Test
  void mixedBatchesAndForksAgreeWithSingleSequences() {
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/vicuna"))) {
      LlamaConfig config = LlamaConfig.read(Goldens.path("tiny/vicuna"));
      Llama llama = Llama.read(weights, "", config, ops);
      int[] prompt = new int[70];
      Arrays.setAll(prompt, i -> 3 + i * 31 % 600);
      Batch batch = new Batch(3);
      KvCache whole = llama.newCache();
      batch.add(whole, prompt.length);
      logits(llama, batch, prompt);
      float[] expected = decode(llama, batch, whole, 11);
      KvCache again = llama.newCache();
      batch.clear();
      batch.add(again, prompt.length);
      logits(llama, batch, prompt);
      KvCache fork = again.fork();
      KvCache fresh = llama.newCache();
      batch.clear();
      batch.add(again, 1);
      batch.add(fresh, 5);
      batch.add(fork, 1);
      float[] all = logits(llama, batch, 11, 1, 2, 3, 4, 5, 11);
      int vocab = config.vocabSize();
      Goldens.assertNear("decoding", Arrays.copyOfRange(all, 0, vocab), expected, TOLERANCE);
      Goldens.assertNear(
          "a fork", Arrays.copyOfRange(all, 2 * vocab, all.length), expected, TOLERANCE);
      // The same step three times over: as it is, captured, replayed.
      for (int i = 0; i < 3; i++) {
        whole.truncate(prompt.length);
        Goldens.assertNear("step " + i, decode(llama, batch, whole, 11), expected, TOLERANCE);
      }
      long launched = ops.launches();
      decode(llama, batch, whole, 11);
      assertThat(ops.launches()).as("a replayed step launches a graph").isEqualTo(launched);
    }
  }

  /** Two norms, two groups of products and two products alone, RoPE, attention, SiLU. */
  @Test
  void aDecodeStepLaunchesNineKernelsALayer() {
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/vicuna"))) {
      LlamaConfig config = LlamaConfig.read(Goldens.path("tiny/vicuna"));
      Llama llama = Llama.read(weights, "", config, ops);
      long before = ops.launches();
      decode(llama, new Batch(1), llama.newCache(), 11);
      int others = 3; // the embedding, the last norm, the head
      assertThat(ops.launches() - before).isEqualTo(9L * config.numHiddenLayers() + others);
    }
  }

  private static float[] decode(Llama llama, Batch batch, KvCache cache, int id) {
    batch.clear();
    batch.add(cache, 1);
    return logits(llama, batch, id);
  }
}
