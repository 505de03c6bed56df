package io.minigpt4.cli;

import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.image.Picture;
import io.minigpt4.image.PictureOptions;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelSource;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
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
  /** Bytes of decoded pictures to keep between the check and the work. */
  private static final long ROOM = 64L << 20;

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

  /** Pictures that are decoded already, while there is room for them, and pipes in any case. */
  private final Map<String, Picture> decoded = new HashMap<>();

  @Override
  public Integer call() {
    Path target = Objects.requireNonNull(out);
    Map<String, Path> named = named(target);
    PictureOptions options = PictureOptions.DEFAULT.withOrientation(exif);
    try (SafeTensorsWriter writer = new SafeTensorsWriter(target)) {
      // A large model takes minutes to load: what can be found wrong before is found wrong before.
      writer.reserve();
      ModelSource source = modelOptions.source();
      check(named, options);
      encode(source, named, options, writer);
    }
    return Commands.DONE;
  }

  private void encode(
      ModelSource source,
      Map<String, Path> named,
      PictureOptions options,
      SafeTensorsWriter writer) {
    try (Devices devices = modelOptions.openDevices();
        MiniGpt4 model = modelOptions.load(devices, source);
        ProgressBar bar = ProgressBar.onStderr("encoding")) {
      long rows = model.rowsPerImage();
      long width = model.llama().config().hiddenSize();
      named.keySet().forEach(name -> writer.declare(name, DType.F32, rows, width));
      int done = 0;
      for (Map.Entry<String, Path> image : named.entrySet()) {
        Picture picture = decoded.remove(image.getKey());
        if (picture == null) {
          picture = Pictures.read(image.getValue(), options);
        }
        Tensor tokens = Tensor.of(DType.F32, model.encode(picture), rows, width);
        writer.write(image.getKey(), tokens);
        bar.items(++done, named.size());
      }
      writer.commit();
    }
  }

  /** Decodes every picture once, so that a damaged one is known before the work begins. */
  private void check(Map<String, Path> named, PictureOptions options) {
    long room = ROOM;
    try (ProgressBar bar = ProgressBar.onStderr("checking pictures")) {
      int done = 0;
      for (Map.Entry<String, Path> image : named.entrySet()) {
        Picture picture = Pictures.read(image.getValue(), options);
        boolean fits = picture.rgb().length <= room;
        if (fits || !Files.isRegularFile(image.getValue())) {
          decoded.put(image.getKey(), picture);
          room -= picture.rgb().length;
        }
        bar.items(++done, named.size());
      }
    }
  }

  /** The pictures by the names that their tensors get. */
  private Map<String, Path> named(Path target) {
    Map<String, Path> named = new LinkedHashMap<>();
    for (Path image : images) {
      if (isSame(image, target)) {
        throw new UserException(
            target
                + " is one of the pictures, which would be overwritten; give --out another name");
      }
      String name = String.valueOf(image.getFileName());
      if (name.equals(SafeTensorsWriter.RESERVED)) {
        throw new UserException(
            image + ": SafeTensors files keep the name " + name + " for themselves; rename it");
      }
      Path other = named.putIfAbsent(name, image);
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

  private static boolean isSame(Path image, Path target) {
    try {
      return Files.isSameFile(image, target);
    } catch (IOException e) {
      return false; // one of them does not exist
    }
  }
}
