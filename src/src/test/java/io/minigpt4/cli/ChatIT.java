package io.minigpt4.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.OlderJava;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.model.Goldens;
import io.minigpt4.testing.Program;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The finished jar as a user starts it, with the demo model. */
@Timeout(180)
class ChatIT {
  private static final String SCENE = Goldens.documented("scene.png").toString();

  @TempDir Path folder;

  @Test
  void itDescribesThePictureAsPyTorchDoes() throws Exception {
    ConfigNode turn = firstGoldenTurn();
    Program run = chat(SCENE, "-p", turn.get("prompt").asText(), "--max-new-tokens", "120");
    assertThat(run.code()).isZero();
    assertThat(run.out().strip()).isEqualTo(turn.get("text").asText());
  }

  @Test
  void anOlderJavaGivesTheSameAnswer() throws Exception {
    ConfigNode turn = firstGoldenTurn();
    String question = turn.get("prompt").asText();
    Program run =
        jar(OlderJava.program(), "chat", SCENE, "--max-new-tokens", "120", "-p", question);
    assertThat(run.code()).isZero();
    assertThat(run.out().strip()).isEqualTo(turn.get("text").asText());
  }

  private static ConfigNode firstGoldenTurn() {
    ConfigNode golden = JsonFile.read(Goldens.path("demo.json"));
    return golden.get("dialogues").asList().getFirst().asList().getFirst();
  }

  @Test
  void missingPicture() throws Exception {
    refused("nowhere.png", "chat", "nowhere.png", "-p", "What is this?");
  }

  @Test
  void textNamedAsPicture() throws Exception {
    Path file = Files.writeString(folder.resolve("text.png"), "This is no picture.\n");
    refused("text.png", "chat", file.toString(), "-p", "What is this?");
  }

  @Test
  void emptyPicture() throws Exception {
    Path file = Files.createFile(folder.resolve("empty.jpg"));
    refused("empty.jpg", "chat", file.toString(), "-p", "What is this?");
  }

  @Test
  void noPictureToEncode() throws Exception {
    refused("IMAGE", "encode", "-o", folder.resolve("out.safetensors").toString());
  }

  @Test
  void missingModelFolder() throws Exception {
    String model = folder.resolve("no-model").toString();
    refused("no-model", "chat", SCENE, "--model", model, "-p", "Hello");
  }

  @Test
  void noPictureToAskAbout() throws Exception {
    refused("--no-image", "chat", "-p", "What is this?");
  }

  @Test
  void truncatedCheckpoint() throws Exception {
    Path model = demoModel();
    try (RandomAccessFile file =
        new RandomAccessFile(model.resolve("model.safetensors").toFile(), "rw")) {
      file.setLength(file.length() - 1000);
    }
    refused("model.safetensors", "chat", "--model", model.toString(), SCENE, "-p", "Hello");
  }

  @Test
  void tensorOfAnotherShape() throws Exception {
    Path model = demoModel();
    Path config = model.resolve("config.json");
    String changed =
        Files.readString(config).replaceFirst("\"vocab_size\": ?\\d+", "\"vocab_size\": 901");
    Files.writeString(config, changed);
    refused("llama_model.", "chat", "--model", model.toString(), SCENE, "-p", "Hello");
  }

  @Test
  void moreLayersThanTheConfigNames() throws Exception {
    Path model = demoModel();
    Path config = model.resolve("config.json");
    String[] parts = Files.readString(config).split("\"llama\"", 2);
    String fewer =
        parts[1].replaceFirst("\"num_hidden_layers\": ?\\d+", "\"num_hidden_layers\": 2");
    Files.writeString(config, parts[0] + "\"llama\"" + fewer);
    refused("num_hidden_layers", "chat", "--model", model.toString(), SCENE, "-p", "Hello");
  }

  @Test
  void promptBeyondTheContext() throws Exception {
    refused("context", "chat", SCENE, "-p", "circle square ".repeat(3000));
  }

  @Test
  void wrongOption() throws Exception {
    refused("--top-p", "chat", SCENE, "-p", "Hello", "--top-p", "1.5");
    refused("--num-beams", "chat", SCENE, "-p", "Hello", "--num-baems", "2");
    refused("device", "chat", SCENE, "--device", "tpu", "-p", "Hello");
  }

  @Test
  void debugShowsTheStack() throws Exception {
    Program run = chat("nowhere.png", "-p", "What is this?", "--debug");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err()).contains("nowhere.png", "\tat io.minigpt4.");
  }

  /** One line on stderr that names the thing, no stack trace, nothing on stdout, exit code 2. */
  private static void refused(String named, String... arguments) throws Exception {
    Program run = jar(Program.thisJava(), arguments);
    String errors =
        run.err()
            .lines()
            .filter(line -> !line.contains("loading:"))
            .collect(Collectors.joining("\n"));
    assertThat(errors).startsWith("minigpt4").contains(named).hasLineCount(1);
    assertThat(errors).doesNotContain("Exception");
    assertThat(run.out()).isEmpty();
    assertThat(run.code()).isEqualTo(2);
  }

  @Test
  @EnabledOnOs({OS.LINUX, OS.MAC})
  void interruptEndsTheAnswers() throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(Program.thisJava(), "-jar", Program.engineJar().toString(), "chat"));
    command.add(SCENE);
    for (int i = 0; i < 300; i++) {
      command.addAll(List.of("-p", "Describe this image in detail."));
    }
    Process process =
        Program.interruptible(Program.builder(command.toArray(String[]::new)))
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    try (InputStream out = process.getInputStream()) {
      assertThat(out.read()).isNotNegative();
      Program.run(Map.of(), "", "kill", "-INT", Long.toString(process.pid()));
      out.transferTo(OutputStream.nullOutputStream());
      assertThat(process.waitFor()).isEqualTo(130);
    } finally {
      process.destroyForcibly();
    }
  }

  /** A copy of the demo model's folder. */
  private Path demoModel() throws IOException {
    Path model = Files.createDirectory(folder.resolve("model"));
    for (String name : List.of("config.json", "tokenizer.model", "model.safetensors")) {
      try (InputStream in = Main.class.getResourceAsStream("/io/minigpt4/demo/" + name)) {
        Files.copy(Objects.requireNonNull(in, name), model.resolve(name));
      }
    }
    return model;
  }

  private static Program chat(String... arguments) throws Exception {
    List<String> all = new ArrayList<>(List.of("chat"));
    all.addAll(List.of(arguments));
    return jar(Program.thisJava(), all.toArray(String[]::new));
  }

  private static Program jar(String java, String... arguments) throws Exception {
    List<String> command = new ArrayList<>(List.of(java, "-jar", Program.engineJar().toString()));
    command.addAll(List.of(arguments));
    return Program.run(Map.of(), "", command.toArray(String[]::new));
  }
}
