package io.minigpt4.weights;

import io.minigpt4.cli.Commands;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Brings Meta's own LLaMA files into Hugging Face's layout. */
@Command(
    name = "llama",
    description =
        "Turns Meta's files (consolidated.*.pth, params.json) into a folder in Hugging Face's"
            + " layout: parts of all ranks joined, rows of queries and keys reordered.",
    mixinStandardHelpOptions = true)
final class LlamaCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Parameters(paramLabel = "FOLDER", description = "Meta's folder, e.g. LLaMA/13B.")
  private Path folder = Path.of("");

  @Option(
      names = "--tokenizer",
      paramLabel = "FILE",
      description = "tokenizer.model (default: the one in the folder or beside it).")
  private @Nullable Path tokenizer;

  @Option(
      names = "--context",
      paramLabel = "N",
      defaultValue = "2048",
      description = "Tokens it was trained for: 2048 for LLaMA, 4096 for Llama 2.")
  private int context = 2048;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "keep",
      description = "${COMPLETION-CANDIDATES} (default: as it is).")
  private WeightType type = WeightType.KEEP;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    if (context < 1 || context > 1 << 20) {
      throw new UserException("--context must be between 1 and " + (1 << 20) + ", not " + context);
    }
    if (!Files.isDirectory(folder)) {
      throw new UserException(folder + " is not a folder: name the one with params.json");
    }
    Path pieces = tokenizer();
    try (MetaLlama llama = new MetaLlama(folder, type.dtype())) {
      if (Tokenizer.load(pieces).size() > llama.vocabulary()) {
        throw new UserException(
            pieces + " has more pieces than the model's " + llama.vocabulary() + " rows");
      }
      Ignored.report(out, "each file", llama.first(), llama.used());
      String config = llama.config(context);
      String task = "llama " + Sources.describe(List.of(folder, pieces)) + config;
      try (FolderWriter writer = output.open(task, out)) {
        output.write(writer, llama.tensors(), "converting");
        writer.writeBytes("tokenizer.model", Sources.bytes(pieces));
        writer.writeText("tokenizer_config.json", tokenizerConfig());
        writer.writeText(
            "generation_config.json", JsonText.of(Map.of("bos_token_id", 1, "eos_token_id", 2)));
        writer.writeText("config.json", config);
        output.finish(writer, llama.tensors(), out);
      }
    }
    return Commands.DONE;
  }

  private Path tokenizer() {
    if (tokenizer != null) {
      return tokenizer;
    }
    Path parent = folder.toAbsolutePath().normalize().getParent();
    for (Path place : parent == null ? List.of(folder) : List.of(folder, parent)) {
      if (Files.exists(place.resolve("tokenizer.model"))) {
        return place.resolve("tokenizer.model");
      }
    }
    throw new UserException(
        "there is no tokenizer.model in " + folder + " or beside it: name it with --tokenizer");
  }

  private String tokenizerConfig() {
    Map<String, Object> config = new LinkedHashMap<>();
    config.put("add_bos_token", true);
    config.put("add_eos_token", false);
    config.put("bos_token", "<s>");
    config.put("eos_token", "</s>");
    config.put("unk_token", "<unk>");
    config.put("model_max_length", context);
    config.put("tokenizer_class", "LlamaTokenizer");
    return JsonText.of(config);
  }
}
