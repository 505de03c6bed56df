package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.TorchWriter;
import io.minigpt4.cli.Commands;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Hands weights on to other programs. */
@Command(
    name = "export",
    description =
        "Writes weights anew as SafeTensors files of a size, or with --projection the projection"
            + " alone as a .pth file that MiniGPT-4's Python version loads.",
    mixinStandardHelpOptions = true)
final class ExportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private OutputOptions output = new OutputOptions();

  @Parameters(
      paramLabel = "PATH",
      description = "A model folder, or any file or folder of weights.")
  private Path path = Path.of("");

  @Option(
      names = "--projection",
      description = "Write llama_proj alone; --out is the .pth file then.")
  private boolean projection;

  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "keep",
      description = "${COMPLETION-CANDIDATES} (default: each tensor's own).")
  private WeightType type = WeightType.KEEP;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    try (Checkpoint checkpoint = Weights.open(path)) {
      if (projection) {
        exportProjection(checkpoint, out);
      } else {
        exportAll(checkpoint, out);
      }
    }
    return Commands.DONE;
  }

  /** A file that is being read must not be replaced: it may be the only copy of all weights. */
  private void refuseInput(Path file) {
    try {
      boolean index = path.toString().endsWith(".json");
      Path folder = index ? path.toAbsolutePath().getParent() : path;
      Path place = file.toAbsolutePath().getParent();
      if (Files.exists(file)
          && (Files.isSameFile(file, path)
              || (folder != null && place != null && Files.isSameFile(place, folder)))) {
        throw new UserException(file + " belongs to what is read: give another name");
      }
    } catch (IOException e) {
      throw Sources.unreadable(file, e);
    }
  }

  private void exportProjection(Checkpoint checkpoint, PrintWriter out) {
    refuseInput(output.folder());
    try (Arena arena = Arena.ofConfined()) {
      Map<String, Object> tensors = new LinkedHashMap<>();
      for (String name : List.of("llama_proj.weight", "llama_proj.bias")) {
        checkpoint.verify(name);
        Tensor tensor = checkpoint.tensor(name);
        MemorySegment floats = arena.allocate(4 * tensor.elements(), 64);
        new Elements().convert(tensor.dtype(), tensor.segment(), DType.F32, floats);
        tensors.put(name, Tensor.of(DType.F32, floats, tensor.shape()));
      }
      TorchWriter.write(output.folder(), Map.of("model", tensors));
    }
    out.println(output.folder() + ": the projection, for torch.load");
  }

  private void exportAll(Checkpoint checkpoint, PrintWriter out) {
    List<CopiedTensor> tensors = new ArrayList<>();
    for (String name : checkpoint.names()) {
      DType dtype = checkpoint.dtype(name).isFloating() ? type.dtype() : null;
      tensors.add(new CopiedTensor(name, checkpoint, name, dtype));
    }
    String task = "export " + Sources.describe(List.of(path)) + "; as " + type;
    try (FolderWriter writer = output.open(task, out)) {
      output.write(writer, tensors, "writing");
      for (String name : LlamaFolder.SMALL_FILES) {
        copy(writer, name);
      }
      copy(writer, "config.json");
      output.finish(writer, tensors, out);
    }
  }

  private void copy(FolderWriter writer, String name) {
    Path file = path.resolve(name);
    if (Files.isRegularFile(file)) {
      writer.writeBytes(name, Weights.smallFile(file));
    }
  }
}
