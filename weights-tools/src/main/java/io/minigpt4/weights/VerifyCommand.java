package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.cli.Commands;
import io.minigpt4.cli.ProgressBar;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLayout;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Checks weights. */
@Command(
    name = "verify",
    description =
        "Checks weights: the files' checksums if the folder has them and those within PyTorch's"
            + " files, that all values are finite, and that a model's tensors have the shapes that its config says and load.",
    mixinStandardHelpOptions = true)
final class VerifyCommand implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Parameters(paramLabel = "PATH", description = "A file, an index of shards or a folder.")
  private Path path = Path.of("");

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    try (Checkpoint checkpoint = Weights.open(path)) {
      int files = checksums();
      int summed = finite(checkpoint);
      String shapes = shapes(checkpoint);
      if (files > 0) {
        out.println("checksums: " + files + " files are as they were written");
      }
      int tensors = checkpoint.names().size();
      if (summed > 0) {
        out.println(
            "checksums: " + summed + " of " + tensors + " tensors are as they were written");
      }
      out.println("values: all of " + tensors + " tensors are finite");
      if (!shapes.isEmpty()) {
        out.println("shapes: " + shapes);
      }
    }
    return Commands.DONE;
  }

  /** How many files have the checksum that was noted when they were written. */
  private int checksums() {
    Path list = path.resolve(Journal.CHECKSUMS);
    if (!Files.isDirectory(path) || !Files.exists(list)) {
      return 0;
    }
    Map<String, Journal.Done> noted = Journal.read(list).done();
    noted.forEach(
        (name, expected) -> {
          if (name.contains("/") || name.contains("\\")) {
            throw new UserException(list + " names '" + name + "', which is no file beside it");
          }
          Path file = path.resolve(name);
          Journal.Done found = Checksums.ofFile(file);
          if (found == null) {
            throw new UserException(file + " is missing, which " + list + " names");
          }
          if (!found.equals(expected)) {
            throw new UserException(
                file + " is not as it was written (its checksum differs): make the folder anew");
          }
        });
    return noted.size();
  }

  /** Sees that all values are finite; how many of the tensors have a checksum, which fits. */
  private static int finite(Checkpoint checkpoint) {
    long total = 0;
    for (String name : checkpoint.names()) {
      total += Tensor.elements(checkpoint.shape(name)) * checkpoint.dtype(name).bytes();
    }
    long done = 0;
    int summed = 0;
    try (ProgressBar bar = ProgressBar.onStderr("checking")) {
      for (String name : checkpoint.names()) {
        summed += checkpoint.verify(name) ? 1 : 0;
        Tensor tensor = checkpoint.tensor(name);
        if (tensor.dtype().isFloating()) {
          requireFinite(checkpoint.source(name), name, tensor);
        }
        done += tensor.elements() * tensor.dtype().bytes();
        bar.bytes(done, total);
      }
    }
    return summed;
  }

  private static void requireFinite(String where, String name, Tensor tensor) {
    Elements elements = new Elements();
    DType type = tensor.dtype();
    float[] values = new float[Elements.BLOCK];
    long bad = 0;
    long count = tensor.elements();
    for (long at = 0; at < count; at += Elements.BLOCK) {
      int n = (int) Math.min(Elements.BLOCK, count - at);
      elements.read(type, tensor.segment(), at, n, values);
      for (int i = 0; i < n; i++) {
        bad += (Float.floatToRawIntBits(values[i]) & 0x7f800000) == 0x7f800000 ? 1 : 0;
      }
    }
    if (bad > 0) {
      throw new UserException(
          "tensor '" + name + "' in " + where + " has " + bad + " values that are not finite");
    }
  }

  /** What was found out about the shapes; empty if nothing says what they should be. */
  private String shapes(Checkpoint checkpoint) {
    if (Weights.isModelFolder(path)) {
      LoadListener listener =
          new LoadListener() {
            @Override
            public void loaded(long done, long total) {}

            @Override
            public void warns(String message) {
              Commands.warn(spec.commandLine().getErr(), message);
            }
          };
      try (CpuOps ops = CpuOps.createScalar(1);
          MiniGpt4 model =
              new ModelLoader(ops, listener).load(new ModelSource.Folder(path), null)) {
        return "the model '" + model.name() + "' loads";
      }
    }
    if (Weights.isLlamaFolder(path)) {
      for (ModelLayout.Entry entry : ModelLayout.llama(LlamaConfig.read(path))) {
        checkpoint.requireShape(entry.name(), entry.dims());
      }
      return "as config.json says, for a language model";
    }
    return "";
  }
}
