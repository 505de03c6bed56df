package io.minigpt4.bench;

import io.minigpt4.config.VisionConfig;
import io.minigpt4.model.VisionTransformer;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The image encoder EVA ViT-g with random weights. */
@Command(
    name = "vision",
    description = "EVA ViT-g with random weights, images of 224 × 224.",
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

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Images at once (default: ${DEFAULT-VALUE}).",
      defaultValue = "1")
  private int batch = 1;

  @Override
  public Integer call() {
    BenchOptions.atLeastOne("--layers", layers);
    BenchOptions.atLeastOne("--batch", batch);
    VisionConfig config = new VisionConfig(224, 14, 1408, layers, 16, 6144, 1e-6f);
    int rows = config.numTokens();
    double width = 1408;
    double weights = layers * (4 * width * width + 2 * width * 6144) + 3 * 14 * 14 * width;
    double work = batch * (2 * weights * rows + layers * 4.0 * rows * rows * width);
    try (Target target = options.open()) {
      Ops ops = target.ops();
      VisionTransformer vision = VisionTransformer.random(config, dtype, 1, ops);
      Tensor pixels = ops.allocate(DType.F32, batch, 3, 224, 224);
      fill(ops, pixels);
      Tensor out = ops.allocate(ops.activation(), (long) batch * rows, 1408);
      Report report = options.report(ops.device());
      report.fact("model", layers + " layers, weights " + dtype);
      Runnable encode =
          () -> {
            vision.forward(pixels, out);
            target.finish();
          };
      encode.run();
      target.arithmetic();
      String name = batch == 1 ? "one image" : batch + " images";
      for (int round = 0; round < options.rounds(); round++) {
        double peak = target.arithmetic();
        double seconds = options.clock().seconds(encode);
        report.add(target.arithmeticName(), "GFLOP/s", peak);
        report.add(name, "ms", 1e3 * seconds);
        report.add(name + ", arithmetic", "GFLOP/s", 1e-9 * work / seconds, peak);
      }
      report.print(spec.commandLine().getOut());
      report.write(options.json());
    }
    return 0;
  }

  /** Grey pixels: on a GPU, memory that nothing wrote may hold values that are no numbers. */
  private static void fill(Ops ops, Tensor pixels) {
    try (Arena arena = Arena.ofConfined()) {
      ops.write(arena.allocate(4 * pixels.elements(), 64), pixels);
    }
  }
}
