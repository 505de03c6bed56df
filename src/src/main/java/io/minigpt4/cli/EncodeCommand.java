package io.minigpt4.cli;

import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code encode}: what the language model sees of pictures, as a file. */
@Command(
    name = "encode",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description =
        "Writes the projected image tokens of pictures to a SafeTensors file: a float32 tensor"
            + " [queries, width] for each, named by its file name.")
final class EncodeCommand implements Callable<Integer> {
  @Parameters(paramLabel = "IMAGE", arity = "1..*", description = "The pictures.")
  private List<Path> images = new ArrayList<>();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "FILE",
      required = true,
      description = "The file to write, e.g. tokens.safetensors.")
  private @Nullable Path out;

  @Option(names = "--exif", description = "Turn pictures as their EXIF orientation says.")
  private boolean exif;

  @Mixin private ModelOptions modelOptions = new ModelOptions();

  @Override
  public Integer call() {
    Path target = Objects.requireNonNull(out);
    Map<String, Path> named = named();
    PictureOptions options = PictureOptions.DEFAULT.withOrientation(exif);
    try (Ops ops = modelOptions.openDevice();
        MiniGpt4 model = modelOptions.load(ops);
        SafeTensorsWriter writer = new SafeTensorsWriter(target);
        ProgressBar bar = ProgressBar.onStderr("encoding")) {
      long rows = model.rowsPerImage();
      long width = model.llama().config().hiddenSize();
      named.keySet().forEach(name -> writer.declare(name, DType.F32, rows, width));
      int done = 0;
      for (Map.Entry<String, Path> image : named.entrySet()) {
        Tensor tokens =
            Tensor.of(
                DType.F32, model.encode(Pictures.read(image.getValue(), options)), rows, width);
        writer.write(image.getKey(), tokens);
        bar.items(++done, named.size());
      }
      writer.commit();
    }
    return Commands.DONE;
  }

  /** The pictures by their names, seen to be there before a large model is loaded. */
  private Map<String, Path> named() {
    Map<String, Path> named = new LinkedHashMap<>();
    for (Path image : images) {
      if (!Files.exists(image)) {
        throw new UserException(image + ": no such file; check the path");
      }
      Path other = named.putIfAbsent(String.valueOf(image.getFileName()), image);
      if (other != null) {
        throw new UserException(
            other
                + " and "
                + image
                + " have the same name, and a tensor is named by its file;"
                + " rename one or encode them apart");
      }
    }
    return named;
  }
}
