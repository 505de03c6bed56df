package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.image.Pictures;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EncodeCommandTest {
  @TempDir private Path folder;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String... args) {
    return Commands.run(new Main(), new PrintWriter(out), new PrintWriter(err), args);
  }

  @Test
  void writesATensorForEachImageByItsFileName() {
    Path scene = Goldens.documented("scene.png");
    Path hearts = Goldens.documented("hearts.png");
    Path target = folder.resolve("tokens.safetensors");
    String[] args = {"encode", scene.toString(), hearts.toString(), "-o", target.toString()};
    assertThat(run(args)).isZero();
    assertThat(err.toString()).isEmpty();
    try (CpuOps ops = CpuOps.create(2);
        MiniGpt4 model =
            new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
        Checkpoint written = Checkpoints.open(target)) {
      int rows = model.rowsPerImage();
      assertThat(written.names()).containsExactlyInAnyOrder("scene.png", "hearts.png");
      assertThat(written.shape("scene.png"))
          .containsExactly(rows, model.llama().config().hiddenSize());
      Goldens.assertNear(
          "scene.png",
          floats(written, "scene.png"),
          model.encode(Pictures.read(scene)).toArray(ValueLayout.JAVA_FLOAT),
          1e-5);
    }
  }

  private static float[] floats(Checkpoint file, String name) {
    return file.tensor(name).segment().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
  }

  @Test
  void theSameModelInAFolderEncodesTheSame() throws IOException {
    Path model = Files.createDirectory(folder.resolve("model"));
    for (String file : new String[] {"config.json", "tokenizer.model", "model.safetensors"}) {
      try (var in = Main.class.getResourceAsStream("/io/minigpt4/demo/" + file)) {
        Files.copy(in, model.resolve(file));
      }
    }
    String scene = Goldens.documented("scene.png").toString();
    Path a = folder.resolve("a.safetensors");
    Path b = folder.resolve("b.safetensors");
    assertThat(run("encode", scene, "-o", a.toString())).isZero();
    assertThat(run("encode", scene, "-o", b.toString(), "--model", model.toString())).isZero();
    try (Checkpoint builtIn = Checkpoints.open(a);
        Checkpoint inFolder = Checkpoints.open(b)) {
      Goldens.assertNear(
          "scene.png", floats(inFolder, "scene.png"), floats(builtIn, "scene.png"), 1e-4);
    }
  }

  @Test
  void whatCannotWorkIsFoundOutBeforeTheModelIsLoaded() throws IOException {
    Path noModel = Files.createDirectory(folder.resolve("no-model"));
    Path scene = Files.copy(Goldens.documented("scene.png"), folder.resolve("scene.png"));
    Path text = Files.writeString(folder.resolve("text.png"), "no picture");
    Path reserved = Files.copy(scene, folder.resolve("__metadata__"));
    Path out = folder.resolve("out.safetensors");
    String model = noModel.toString();
    assertBad("text.png: is a text file", model, text, out, scene);
    assertBad("nowhere.png: no such file", model, scene, out, folder.resolve("nowhere.png"));
    assertBad("__metadata__", model, scene, out, reserved);
    assertBad("its folder does not exist", model, scene, folder.resolve("none/out.safetensors"));
    assertBad("is a folder", model, scene, noModel);
    assertBad("is one of the pictures", model, scene, scene);
    assertBad("has no config.json", model, scene, out);
    Path device = Path.of("/dev/null");
    if (Files.exists(device)) {
      assertBad("is a device or pipe", model, scene, device);
    }
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).containsExactlyInAnyOrder(noModel, scene, text, reserved);
    }
  }

  private void assertBad(String message, String model, Path image, Path target, Path... more) {
    List<String> args = new ArrayList<>(List.of("encode", "--model", model, "-o"));
    args.addAll(List.of(target.toString(), image.toString()));
    for (Path file : more) {
      args.add(file.toString());
    }
    assertThat(run(args.toArray(String[]::new))).isEqualTo(2);
    assertThat(err.toString()).contains(message).hasLineCount(1);
    err.getBuffer().setLength(0);
  }

  @Test
  void refusesWhatItCannotName() {
    String scene = Goldens.documented("scene.png").toString();
    String target = folder.resolve("t.safetensors").toString();
    assertThat(run("encode", scene, scene, "-o", target)).isEqualTo(2);
    assertThat(err.toString()).contains("same name").hasLineCount(1);
    err.getBuffer().setLength(0);
    assertThat(run("encode", "-o", target)).isEqualTo(2);
    assertThat(err.toString()).contains("IMAGE").hasLineCount(1);
    err.getBuffer().setLength(0);
    assertThat(run("encode", scene)).isEqualTo(2);
    assertThat(err.toString()).contains("--out").hasLineCount(1);
    assertThat(folder.resolve("t.safetensors")).doesNotExist();
  }
}
