package io.minigpt4.weights;

import io.minigpt4.cli.Commands;
import io.minigpt4.cli.OverridesConsumer;
import io.minigpt4.config.MiniGpt4Config;
import io.minigpt4.config.PublishedFiles;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Makes a model folder of the published files. */
@Command(
    name = "convert",
    description =
        "Puts EVA's vision transformer, BLIP-2's Q-Former, a LLaMA and MiniGPT-4's projection into"
            + " one model folder. Each may be a PyTorch or a SafeTensors file; a run that was"
            + " stopped goes on where it was.",
    mixinStandardHelpOptions = true)
final class ConvertCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Option(names = "--vit-model", paramLabel = "FILE", description = "eva_vit_g.pth")
  private @Nullable Path vision;

  @Option(
      names = "--q-former-model",
      paramLabel = "FILE",
      description = "blip2_pretrained_flant5xxl.pth")
  private @Nullable Path qformer;

  @Option(
      names = "--llama-model",
      paramLabel = "FOLDER",
      description = "A LLaMA or Vicuna in Hugging Face's layout, with its tokenizer.model.")
  private @Nullable Path llama;

  @Option(
      names = "--ckpt",
      paramLabel = "FILE",
      description = "MiniGPT-4's projection: pretrained_minigpt4.pth, or what training wrote.")
  private @Nullable Path projection;

  @Option(
      names = "--cfg-path",
      paramLabel = "FILE",
      description = "MiniGPT-4's own YAML configuration: names the files that no option names.")
  private @Nullable Path yaml;

  @Option(
      names = "--options",
      arity = "1..*",
      parameterConsumer = OverridesConsumer.class,
      paramLabel = "KEY=VALUE",
      description = "Override settings of the YAML file, e.g. model.llama_model=/models/vicuna.")
  private List<String> overrides = new ArrayList<>();

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "keep",
      description = "${COMPLETION-CANDIDATES}: the type of all weights (default: each its own).")
  private WeightType type = WeightType.KEEP;

  @Option(names = "--name", paramLabel = "NAME", description = "What the model calls itself.")
  private @Nullable String name;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    try (Conversion conversion = new Conversion(files(), name, type)) {
      conversion.reportIgnored(out);
      out.flush();
      String config = conversion.config().toJson();
      String task = "convert " + conversion.describe() + "; as " + type + "; " + config;
      try (FolderWriter writer = output.open(task, out)) {
        output.write(writer, conversion.tensors(), "converting");
        writer.writeBytes("tokenizer.model", Sources.bytes(conversion.tokenizer()));
        writer.writeText("config.json", config);
        output.finish(writer, conversion.tensors(), out);
      }
    }
    return Commands.DONE;
  }

  private ModelSource.Published files() {
    if (yaml == null) {
      if (!overrides.isEmpty()) {
        throw new UserException(
            "--options changes a YAML file's settings; name it with --cfg-path");
      }
      return new ModelSource.Published(
          given(vision, "--vit-model"),
          given(qformer, "--q-former-model"),
          given(llama, "--llama-model"),
          given(projection, "--ckpt"),
          null,
          null);
    }
    MiniGpt4Config config = MiniGpt4Config.load(yaml, overrides);
    config.warnings().forEach(w -> Commands.warn(spec.commandLine().getErr(), w));
    PublishedFiles files = config.files();
    return new ModelSource.Published(
        vision == null ? files.vision() : vision,
        qformer == null ? files.qformer() : qformer,
        llama == null ? files.llama() : llama,
        projection == null ? files.projection() : projection,
        config.model().imageSize(),
        config.model().numQueryToken());
  }

  private static Path given(@Nullable Path path, String option) {
    if (path == null) {
      throw new UserException(
          option + " is missing: name all four files, or a YAML file with --cfg-path");
    }
    return path;
  }
}
