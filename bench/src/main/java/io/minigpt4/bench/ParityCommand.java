package io.minigpt4.bench;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.Llama;
import io.minigpt4.model.QFormer;
import io.minigpt4.model.VisionTransformer;
import io.minigpt4.tensor.Batch;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Whether a device computes what the processor computes, with models of the published widths. */
@Command(
    name = "parity",
    description =
        "Compares a device's results with the processor's, which computes in float32: the parts of"
            + " the 13B model at their full width with random float16 weights and fewer layers.",
    mixinStandardHelpOptions = true)
final class ParityCommand implements Callable<Integer> {
  /** Of float16 paths: the largest difference as a part of the largest value. */
  private static final double LIMIT = 1e-2;

  private static final int STEPS = 8;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(
      names = "--layers",
      paramLabel = "N",
      description = "Layers of each part (default: ${DEFAULT-VALUE}).",
      defaultValue = "2")
  private int layers = 2;

  @Option(names = "--small", description = "Narrow parts, to try this command itself.")
  private boolean small;

  @Option(
      names = "--peer",
      paramLabel = "FOLDER",
      description =
          "Compare with PyTorch's results instead, which peers/parity_torch.py left in that folder"
              + " with their weights.")
  private @Nullable Path peer;

  private boolean failed;

  @Override
  public Integer call() {
    try (Target target = options.open()) {
      Report report = options.report(target.ops().device());
      report.fact("limit", LIMIT);
      if (peer == null) {
        compareWithProcessor(target.ops(), report);
      } else {
        PeerParity.Judge judge = (name, wanted, actual) -> judge(report, name, wanted, actual);
        try (PeerParity parity = new PeerParity(peer, target.ops(), judge)) {
          parity.run();
        }
      }
      report.write(options.json());
    }
    spec.commandLine().getOut().flush();
    return failed ? 1 : 0;
  }

  private void compareWithProcessor(Ops device, Report report) {
    try (CpuOps cpu = CpuOps.createExact(options.threads())) {
      language(device, cpu, report);
      vision(device, cpu, report);
      queries(device, cpu, report);
    }
  }

  private void language(Ops device, Ops cpu, Report report) {
    int width = small ? 128 : 5120;
    int inner = small ? 352 : 13824;
    int heads = small ? 2 : 40;
    int vocabulary = small ? 500 : 32000;
    int prompt = small ? 20 : 64;
    LlamaConfig config =
        new LlamaConfig(
            vocabulary, width, inner, layers, heads, heads, 2048, 1e-6f, 10000, 1, false, 1, 2);
    SplittableRandom random = new SplittableRandom(2);
    int[] ids = random.ints(prompt, 3, vocabulary).toArray();
    float[][] expected = logits(Llama.random(config, DType.F16, 1, cpu), vocabulary, ids);
    float[][] actual = logits(Llama.random(config, DType.F16, 1, device), vocabulary, ids);
    int same = 0;
    for (int i = 0; i < expected.length; i++) {
      same += best(expected[i]) == best(actual[i]) ? 1 : 0;
      String name = i == 0 ? "LLaMA, prefill of " + prompt : "LLaMA, decode step " + i;
      judge(report, name, expected[i], actual[i]);
    }
    spec.commandLine()
        .getOut()
        .printf("%-42s %d of %d%n", "LLaMA, the same best token", same, expected.length);
  }

  /** After the prompt, and after each of the next tokens, which are the prompt's first again. */
  private static float[][] logits(Llama llama, int vocabulary, int[] prompt) {
    float[][] out = new float[1 + STEPS][];
    Batch batch = new Batch(1);
    try (Arena arena = Arena.ofConfined();
        KvCache cache = llama.newCache()) {
      MemorySegment logits = arena.allocate(4L * vocabulary, 64);
      for (int i = 0; i <= STEPS; i++) {
        int[] ids = i == 0 ? prompt : new int[] {prompt[i]};
        batch.clear();
        batch.add(cache, ids.length);
        llama.forward(batch, ids, null, logits);
        out[i] = logits.toArray(ValueLayout.JAVA_FLOAT);
      }
    }
    return out;
  }

  private void vision(Ops device, Ops cpu, Report report) {
    int width = small ? 64 : 1408;
    int heads = small ? 4 : 16;
    int inner = small ? 96 : 6144;
    VisionConfig config = new VisionConfig(224, 14, width, layers, heads, inner, 1e-6f);
    float[][] both = new float[2][];
    for (int i = 0; i < 2; i++) {
      Ops ops = i == 0 ? cpu : device;
      Tensor pixels = filled(ops, DType.F32, 1, 1, 3, 224, 224);
      Tensor out = ops.allocate(ops.activation(), config.numTokens(), width);
      VisionTransformer.random(config, DType.F16, 3, ops).forward(pixels, out);
      both[i] = values(ops, out);
    }
    judge(report, "vision transformer, one image", both[0], both[1]);
  }

  private void queries(Ops device, Ops cpu, Report report) {
    int width = small ? 128 : 768;
    int imageWidth = small ? 64 : 1408;
    QFormerConfig config = new QFormerConfig(32, width, layers, width / 64, 4 * width, 1e-12f);
    float[][] both = new float[2][];
    for (int i = 0; i < 2; i++) {
      Ops ops = i == 0 ? cpu : device;
      Tensor image = filled(ops, ops.activation(), 1, 257, imageWidth);
      Tensor out = ops.allocate(ops.activation(), 32, width);
      QFormer.random(config, imageWidth, DType.F16, 4, ops).forward(image, 1, out);
      both[i] = values(ops, out);
    }
    judge(report, "Q-Former, one image", both[0], both[1]);
  }

  /** The same values on each device. */
  private static Tensor filled(Ops ops, DType type, double deviation, long... shape) {
    SplittableRandom random = new SplittableRandom(5);
    Tensor tensor = ops.allocate(type, shape);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4 * tensor.elements(), 64);
      for (long i = 0; i < tensor.elements(); i++) {
        float value = (float) (deviation * random.nextGaussian());
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      }
      ops.write(values, tensor);
    }
    return tensor;
  }

  private static float[] values(Ops ops, Tensor tensor) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4 * tensor.elements(), 64);
      ops.read(tensor, values);
      return values.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  private static int best(float[] logits) {
    int best = 0;
    for (int i = 1; i < logits.length; i++) {
      best = logits[i] > logits[best] ? i : best;
    }
    return best;
  }

  /** The largest difference as a part of the largest value; infinite where one is no number. */
  static double error(float[] expected, float[] actual) {
    double difference = 0;
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      if (!Float.isFinite(expected[i]) || !Float.isFinite(actual[i])) {
        return Double.POSITIVE_INFINITY;
      }
      difference = Math.max(difference, Math.abs((double) expected[i] - actual[i]));
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    if (difference == 0) {
      return 0;
    }
    return largest == 0 ? Double.POSITIVE_INFINITY : difference / largest;
  }

  private void judge(Report report, String name, float[] expected, float[] actual) {
    double error = error(expected, actual);
    boolean passed = error <= LIMIT;
    failed |= !passed;
    report.add(name, "relative error", error, LIMIT);
    PrintWriter out = spec.commandLine().getOut();
    out.printf(Locale.ROOT, "%-42s error %.1e  %s%n", name, error, passed ? "passed" : "FAILED");
  }
}
