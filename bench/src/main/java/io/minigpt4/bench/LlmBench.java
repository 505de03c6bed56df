package io.minigpt4.bench;

import io.minigpt4.checkpoint.Quantiser;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.model.Llama;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Quantised;
import io.minigpt4.tensor.TokenChoice;
import io.minigpt4.tensor.TokenRule;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** LLaMA with random weights: a prefill, and decoding. */
@Command(
    name = "llm",
    description = "LLaMA with random weights: prefill and decoding, tokens per second.",
    mixinStandardHelpOptions = true)
final class LlmBench implements Callable<Integer> {
  private static final int VOCABULARY = 32000;
  private static final int LENGTH = 2048;

  /** Sizes that other engines' figures exist for. */
  enum Shape {
    /** 25 million weights in the layers. */
    SMALL(512, 8, 8, 1376),
    /** 809 million weights in the layers. */
    MID(2048, 16, 16, 5504),
    /** Vicuna's 13 billion weights: 26 GB in 16 bit. */
    VICUNA_13B(5120, 40, 40, 13824);

    private final int width;
    private final int layers;
    private final int heads;
    private final int inner;

    Shape(int width, int layers, int heads, int inner) {
      this.width = width;
      this.layers = layers;
      this.heads = heads;
      this.inner = inner;
    }

    LlamaConfig config() {
      return new LlamaConfig(
          VOCABULARY, width, inner, layers, heads, heads, LENGTH, 1e-6f, 10000, 1, false, 1, 2);
    }

    /** Weights that every token is multiplied by, the head not counted. */
    double layerWeights() {
      return layers * (4.0 * width * width + 3.0 * width * inner);
    }

    double headWeights() {
      return (double) VOCABULARY * width;
    }

    /** Bytes that every token reads, the head's and scales included. */
    double weightBytes(DType type) {
      double square = rowBytes(type, width);
      double layer = (4 * width + 2 * inner) * square + width * rowBytes(type, inner);
      // The head of a quantised model is Q8.
      DType head = type.isQuantised() ? DType.Q8 : type;
      return layers * layer + VOCABULARY * rowBytes(head, width);
    }

    private static double rowBytes(DType type, int elements) {
      if (!type.isQuantised()) {
        return (double) elements * type.bytes();
      }
      int group = Quantiser.DEFAULT_GROUP;
      return Quantised.rowBytes(type, elements, group)
          + Quantised.rowScales(type, elements, group) * Quantised.scaleType(type).bytes();
    }
  }

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(names = "--shape", description = "${COMPLETION-CANDIDATES}", defaultValue = "SMALL")
  private Shape shape = Shape.SMALL;

  @Option(
      names = "--dtype",
      description = "Of the weights: F32, F16, BF16, Q8 or Q4",
      defaultValue = "F32")
  private DType dtype = DType.F32;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      description = "Tokens to decode a round (default: ${DEFAULT-VALUE}).",
      defaultValue = "32")
  private int tokens = 32;

  @Option(
      names = "--prompt",
      paramLabel = "N",
      description = "Tokens of the prefill, up to 2048 (default: ${DEFAULT-VALUE}).",
      defaultValue = "512")
  private int prompt = 512;

  private final Batch batch = new Batch(1);
  private int[] ids = {};
  private final int[] chosen = new int[1];

  @Override
  public Integer call() {
    atMostLength("--tokens", tokens);
    atMostLength("--prompt", prompt);
    ids = new int[prompt];
    SplittableRandom random = new SplittableRandom(1);
    for (int i = 0; i < prompt; i++) {
      ids[i] = random.nextInt(3, VOCABULARY);
    }
    try (Target target = options.open();
        Arena arena = Arena.ofConfined()) {
      Llama llama = Llama.random(shape.config(), dtype, 1, target.ops());
      MemorySegment logits = arena.allocate(4L * VOCABULARY, 64);
      Report report = options.report(target.ops().device());
      report.fact("model", shape + " " + dtype);
      forward(llama, prompt, 1, logits);
      long launches = target.launches();
      forward(llama, 1, 1, logits); // as it is; the next one is captured, the others replayed
      if (target.isGpu()) {
        double each = (target.launches() - launches) / (double) shape.layers;
        report.add("decode, launches a layer", "kernels", each);
      }
      forward(llama, 1, tokens, logits);
      target.arithmetic();
      target.bandwidth();
      for (int round = 0; round < options.rounds(); round++) {
        prefill(llama, logits, target, report);
        decode(llama, logits, target, report);
      }
      report.print(spec.commandLine().getOut());
      report.write(options.json());
    }
    return 0;
  }

  private static void atMostLength(String option, int value) {
    if (BenchOptions.atLeastOne(option, value) > LENGTH) {
      throw new UserException(option + " must be at most " + LENGTH + ", not " + value);
    }
  }

  private void prefill(Llama llama, MemorySegment logits, Target target, Report report) {
    double peak = target.arithmetic();
    double seconds = options.clock().seconds(() -> forward(llama, prompt, 1, logits));
    // Two operations a weight and token; causal attention half of a full one.
    double attention = 2.0 * shape.layers * prompt * prompt * shape.width;
    double work = 2 * (prompt * shape.layerWeights() + shape.headWeights()) + attention;
    report.add(target.arithmeticName(), "GFLOP/s", peak);
    report.add("prefill of " + prompt, "token/s", prompt / seconds);
    report.add("prefill, arithmetic", "GFLOP/s", 1e-9 * work / seconds, peak);
  }

  private void decode(Llama llama, MemorySegment logits, Target target, Report report) {
    double bandwidth = target.bandwidth();
    long waited = target.waitedNanos();
    double seconds = options.clock().seconds(() -> forward(llama, 1, tokens, logits));
    if (target.isGpu()) {
      double host = seconds - 1e-9 * (target.waitedNanos() - waited);
      report.add(
          "decode, host's part of a step", "µs", 1e6 * host / tokens, 1e6 * seconds / tokens);
    }
    double bytes = shape.weightBytes(dtype);
    report.add(target.bandwidthName(), "GB/s", bandwidth);
    report.add("decode", "token/s", tokens / seconds);
    report.add("decode, weights read", "GB/s", 1e-9 * bytes * tokens / seconds, bandwidth);
  }

  /**
   * A new sequence, {@code steps} passes of {@code rows} tokens. Where the device can choose a
   * token, it does, as in a chat; else the scores are read.
   */
  private void forward(Llama llama, int rows, int steps, MemorySegment logits) {
    TokenRule greedy = new TokenRule(0, 0, 1, 1, 0, steps, 1);
    try (KvCache cache = llama.newCache();
        TokenChoice choice = llama.scoringOps().tokenChoice(greedy)) {
      TokenChoice[] choices = {choice};
      for (int i = 0; i < steps; i++) {
        batch.clear();
        batch.add(cache, rows);
        if (choice == null) {
          llama.forward(batch, ids, null, logits);
        } else {
          llama.score(
              batch, ids, null, (ops, scores, first) -> ops.choose(scores, choices, 0, chosen));
        }
      }
    }
  }
}
