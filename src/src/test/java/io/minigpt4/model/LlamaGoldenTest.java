package io.minigpt4.model;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** LLaMA against Transformers. */
class LlamaGoldenTest {
  private static final double TOLERANCE = 1e-4;

  /** Where keys and values are kept in float16, or products are of bfloat16. */
  private static final double HALF_TOLERANCE = 1e-2;

  private static CpuOps ops;

  @BeforeAll
  static void open() {
    ops = CpuOps.createExact(2);
  }

  @AfterAll
  static void close() {
    ops.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "llama_sharded_safetensors",
        "llama_legacy_bin",
        "llama_bfloat16_bin",
        "llama_float32_safetensors",
        "llama_linear_rope_tied"
      })
  void foldersInEveryFormat(String folder) {
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
      Llama llama = read(folder, weights, ops);
      Tensor expected = tensors.tensor(folder + "/logits");
      piecewise(llama, ids, positions, expected, TOLERANCE);
      try (CpuOps fast = CpuOps.create(2)) {
        Llama usual = read(folder, weights, fast);
        piecewise(usual, ids, positions, expected, HALF_TOLERANCE);
      }
    }
  }

  /** A prefill in pieces that end where a golden row is, which also crosses pages of the cache. */
  private static void piecewise(
      Llama llama, int[] ids, int[] positions, Tensor expected, double tolerance) {
    KvCache cache = llama.newCache();
    Batch batch = new Batch(1);
    for (int i = 0; i < positions.length; i++) {
      int from = cache.length();
      batch.clear();
      batch.add(cache, positions[i] + 1 - from);
      float[] actual = logits(llama, batch, null, Arrays.copyOfRange(ids, from, ids.length));
      Goldens.assertNear(
          "position " + positions[i], actual, HostFloats.of(expected.slice(i, i + 1)), tolerance);
    }
  }

  private static Llama read(String folder, Checkpoint weights, Ops on) {
    Path path = Goldens.path("tiny/" + folder);
    return Llama.read(weights, "", LlamaConfig.read(path), on);
  }

  @Test
  void prefillWithAnImageLayerByLayerAndGreedyDecoding() {
    ConfigNode golden =
        JsonFile.read(Goldens.path("model/prefill_decode.json")).get("cases").asList().getFirst();
    int[] ids = rows(golden.get("parts").asList());
    int[] greedy = ints(golden.get("decode_ids"));
    assertThat(ids).hasSize(38);
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/vicuna"));
        Checkpoint tensors = Goldens.tensors("model/prefill_decode.safetensors");
        Checkpoint images = Goldens.tensors("model/image_path.safetensors")) {
      Tensor image = images.tensor("picture/projected");
      prefill(new OpsSpy(ops, "embed", 4), weights, image, ids, "inputs_embeds", 0, tensors);
      // The residual stream is whole after the first norm of the next layer.
      prefill(new OpsSpy(ops, "addRmsNorm", 0), weights, image, ids, "layer.0", 1, tensors);
      prefill(new OpsSpy(ops, "addRmsNorm", 0), weights, image, ids, "layer.1", 3, tensors);
      prefill(new OpsSpy(ops, "addRmsNorm", 4), weights, image, ids, "norm", 3, tensors);

      Llama llama = read("vicuna", weights, ops);
      KvCache cache = llama.newCache();
      Batch batch = new Batch(1);
      batch.add(cache, ids.length);
      float[] next = logits(llama, batch, image, ids);
      near("logits", next, tensors.tensor("logits"), 37, TOLERANCE);
      for (int i = 0; i < greedy.length; i++) {
        assertThat(best(next)).as("greedy id %d", i).isEqualTo(greedy[i]);
        batch.clear();
        batch.add(cache, 1);
        next = logits(llama, batch, null, greedy[i]);
        near("decode.logits", next, tensors.tensor("decode.logits"), i, TOLERANCE);
      }
    }
  }

  @Test
  void feedingRowsOneByOneGivesTheLogitsOfEveryPosition() {
    feedOneByOne(ops, TOLERANCE);
    try (CpuOps fast = CpuOps.create(2)) {
      feedOneByOne(fast, HALF_TOLERANCE);
    }
  }

  private static void feedOneByOne(CpuOps on, double tolerance) {
    ConfigNode golden =
        JsonFile.read(Goldens.path("model/prefill_decode.json")).get("cases").asList().getFirst();
    int[] ids = rows(golden.get("parts").asList());
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/vicuna"));
        Checkpoint tensors = Goldens.tensors("model/prefill_decode.safetensors");
        Checkpoint images = Goldens.tensors("model/image_path.safetensors")) {
      Llama llama = read("vicuna", weights, on);
      KvCache cache = llama.newCache();
      Batch batch = new Batch(1);
      for (int i = 0; i < ids.length; i++) {
        batch.clear();
        batch.add(cache, 1);
        float[] actual = logits(llama, batch, images.tensor("picture/projected"), ids[i]);
        near("logits", actual, tensors.tensor("logits"), i, tolerance);
      }
    }
  }

  @Test
  void layersDividedAmongDevices() {
    int[] ids = IntStream.range(0, 70).map(i -> i * 7 % 131).toArray();
    try (Checkpoint weights = Checkpoints.open(Goldens.path("tiny/llama_linear_rope_tied"));
        CpuOps second = CpuOps.createExact(1)) {
      LlamaConfig config = LlamaConfig.read(Goldens.path("tiny/llama_linear_rope_tied"));
      Llama whole = Llama.read(weights, "", config, ops);
      // More devices than layers: the last has nothing to do.
      Llama divided = Llama.read(weights, "", config, List.of(ops, second, ops));
      KvCache cache = whole.newCache();
      KvCache parts = divided.newCache();
      Batch batch = new Batch(1);
      for (int[] rows : new int[][] {ids, {3}, {5}}) {
        batch.clear();
        batch.add(cache, rows.length);
        float[] expected = logits(whole, batch, null, rows);
        batch.clear();
        batch.add(parts, rows.length);
        Goldens.assertNear("divided", logits(divided, batch, null, rows), expected, 1e-5);
      }
      KvCache fork = parts.fork();
      batch.clear();
      batch.add(cache, 1);
      float[] expected = logits(whole, batch, null, 9);
      batch.clear();
      batch.add(fork, 1);
      Goldens.assertNear("a fork", logits(divided, batch, null, 9), expected, 1e-5);
      assertThat(second.workspace().mark()).isZero();
    }
  }

  /** Runs a prefill and compares what the spy saw: all rows, or the last one only. */
  private static void prefill(
      OpsSpy spy,
      Checkpoint weights,
      Tensor image,
      int[] ids,
      String name,
      int call,
      Checkpoint tensors) {
    Llama llama = read("vicuna", weights, spy.ops());
    Batch batch = new Batch(1);
    batch.add(llama.newCache(), ids.length);
    logits(llama, batch, image, ids);
    float[] expected = HostFloats.of(tensors.tensor(name));
    float[] actual = spy.seen(call);
    int from = expected.length - actual.length;
    Goldens.assertNear(
        name, actual, Arrays.copyOfRange(expected, from, expected.length), TOLERANCE);
  }

  private static int[] rows(List<ConfigNode> parts) {
    int imageRows = 8;
    return parts.stream()
        .flatMapToInt(
            part ->
                part.find("ids") == null
                    ? IntStream.range(0, imageRows).map(i -> ~i)
                    : Arrays.stream(ints(part.get("ids"))))
        .toArray();
  }

  private static int[] ints(ConfigNode list) {
    return list.asList().stream().mapToInt(n -> n.asInteger(0, Integer.MAX_VALUE)).toArray();
  }

  private static int best(float[] logits) {
    int best = 0;
    for (int i = 1; i < logits.length; i++) {
      if (logits[i] > logits[best]) {
        best = i;
      }
    }
    return best;
  }

  private static void near(
      String name, float[] actual, Tensor expected, int row, double tolerance) {
    Goldens.assertNear(
        name + " row " + row, actual, HostFloats.of(expected.slice(row, row + 1)), tolerance);
  }

  private static float[] logits(Llama llama, Batch batch, @Nullable Tensor image, int... ids) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment logits =
          arena.allocate(ValueLayout.JAVA_FLOAT, (long) batch.size() * llama.config().vocabSize());
      llama.forward(batch, ids, image, logits);
      return logits.toArray(ValueLayout.JAVA_FLOAT);
    }
  }
}
