package io.minigpt4.bench;

import io.minigpt4.config.VisionConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.VisionTransformer;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The image encoder EVA ViT-g with random weights, one image. */
@Command(
    name = "vision",
    description = "EVA ViT-g with random weights, one image of 224 × 224.",
    mixinStandardHelpOptions = true)
final class VisionBench implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private BenchOptions options = new BenchOptions();

  @Option(
      names = "--dtype",
      description = "Of the weights: F32 (4 GB), F16 or BF16 (2 GB)",
      defaultValue = "F32")
  private DType dtype = DType.F32;

  @Option(
      names = "--layers",
      paramLabel = "N",
      description = "Layers, 39 in the published model (default: ${DEFAULT-VALUE}).",
      defaultValue = "39")
  private int layers = 39;

  @Override
  public Integer call() {
    VisionConfig config = new VisionConfig(224, 14, 1408, layers, 16, 6144, 1e-6f);
    int rows = config.numTokens();
    double width = 1408;
    double weights = layers * (4 * width * width + 2 * width * 6144) + 3 * 14 * 14 * width;
    double work = 2 * weights * rows + layers * 4.0 * rows * rows * width;
    try (CpuOps ops = CpuOps.create(options.threads())) {
      VisionTransformer vision = VisionTransformer.random(config, dtype, 1, ops);
      Tensor pixels = ops.allocate(DType.F32, 1, 3, 224, 224);
      Tensor out = ops.allocate(DType.F32, rows, 1408);
      Report report = options.report(ops.device());
      report.fact("model", layers + " layers, weights " + dtype);
      Probes probes = new Probes(options.threads(), options.clock());
      vision.forward(pixels, out);
      probes.fmaPeak();
      for (int round = 0; round < options.rounds(); round++) {
        double peak = probes.fmaPeak();
        double seconds = options.clock().seconds(() -> vision.forward(pixels, out));
        report.add("FMA peak", "GFLOP/s", peak);
        report.add("one image", "ms", 1e3 * seconds);
        report.add("one image, arithmetic", "GFLOP/s", 1e-9 * work / seconds, peak);
      }
      report.print(spec.commandLine().getOut());
      report.write(options.json());
    }
    return 0;
  }
}
