package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CheckpointsTest {
  @TempDir Path dir;

  private static Tensor tensor(int... bytes) {
    byte[] content = new byte[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      content[i] = (byte) bytes[i];
    }
    return Tensor.of(DType.U8, MemorySegment.ofArray(content), bytes.length);
  }

  private Path write(String name, Map<String, Tensor> tensors) {
    Path file = dir.resolve(name);
    SafeTensorsWriter.write(file, tensors, Map.of("file", name));
    return file;
  }

  private void index(String json) throws IOException {
    Files.writeString(dir.resolve("model.safetensors.index.json"), json.replace('\'', '"'));
  }

  @Test
  void readsShards() throws IOException {
    write("one.safetensors", Map.of("a", tensor(1)));
    write("two.safetensors", Map.of("b", tensor(2, 3)));
    index(
        "{'metadata':{'total_size':3},'weight_map':{'a':'one.safetensors','b':'two.safetensors'}}");
    try (Checkpoint c = Checkpoints.open(dir)) {
      assertThat(c.names()).containsExactly("a", "b");
      assertThat(c.shape("b")).containsExactly(2);
      assertThat(c.source("b")).endsWith("two.safetensors");
      assertThat(c.describe()).contains("(2 files, 2 tensors)");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "three.safetensors is missing: download it too | {'weight_map':{'a':'one.safetensors','c':'three.safetensors'}}",
        "tensor 'c' is not in one.safetensors | {'weight_map':{'c':'one.safetensors'}}",
        "tensor 'a' is both in one.safetensors and in twin.safetensors | {'weight_map':{'a':'one.safetensors','b':'twin.safetensors'}}",
        "'../one.safetensors' is not the name of a file | {'weight_map':{'a':'../one.safetensors'}}",
        "'/etc/passwd' is not the name of a file | {'weight_map':{'a':'/etc/passwd'}}",
        "'..' is not the name of a file | {'weight_map':{'a':'..'}}",
        "is not the name of a file | {'weight_map':{'a':'one\\u0000.safetensors'}}",
        "Duplicate field 'a' | {'weight_map':{'a':'one.safetensors','a':'two.safetensors'}}",
        "has no 'weight_map' | {'weights':{}}",
        "has no 'weight_map' | {'weight_map':[]}",
        "the file of tensor 'a' is not a string | {'weight_map':{'a':1}}",
        "Unexpected end-of-input | {'weight_map':{'a'",
        "model.safetensors.index.json is an index itself | {'weight_map':{'a':'model.safetensors.index.json'}}",
      })
  void refusesIndexesThatDoNotFit(String reason, String json) throws IOException {
    write("one.safetensors", Map.of("a", tensor(1)));
    write("twin.safetensors", Map.of("a", tensor(1), "b", tensor(2)));
    index(json);
    assertThatThrownBy(() -> Checkpoints.open(dir).close())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("model.safetensors.index.json")
        .hasMessageContaining(reason)
        .message()
        .doesNotContain("REDACTED");
  }

  /** What a damaged file is quoted with may be most of it. */
  @Test
  void complaintsAreShort() throws IOException {
    index("{'weight_map':{'a':'" + "../x".repeat(1_000_000) + "'}}");
    assertThatThrownBy(() -> Checkpoints.open(dir).close())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("model.safetensors.index.json")
        .hasMessageEndingWith("is not the name of a file beside the index")
        .message()
        .hasSizeLessThan(5000);
    index("{'" + "x".repeat(100_000) + "':1}");
    assertThatThrownBy(() -> Checkpoints.open(dir).close())
        .isInstanceOf(UserException.class)
        .hasMessageContaining("exceeds the maximum allowed (10000)");
  }

  @Test
  void prefersSafeTensorsInAFolder() throws IOException {
    Files.writeString(dir.resolve("pytorch_model.bin"), "never looked at");
    write("model.safetensors", Map.of("a", tensor(1)));
    try (Checkpoint c = Checkpoints.open(dir)) {
      assertThat(c.metadata()).containsEntry("file", "model.safetensors");
    }
  }

  /** Opening a pipe waits for ever if nobody writes into it. */
  @Test
  @Timeout(20)
  @EnabledOnOs(OS.LINUX)
  void refusesWhatIsNoFile() throws Exception {
    Path pipe = dir.resolve("pipe");
    assertThat(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor()).isZero();
    for (Path path : List.of(pipe, Path.of("/dev/zero"))) {
      assertThatThrownBy(() -> Checkpoints.open(path).close())
          .isInstanceOf(UserException.class)
          .hasMessageContaining(path + " is a device or pipe");
    }
  }

  @Test
  void knowsFilesByTheirContent() throws IOException {
    Path renamed = write("weights.bin", Map.of("a", tensor(1)));
    try (Checkpoint c = Checkpoints.open(renamed)) {
      assertThat(c.describe()).contains("SafeTensors");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "version https://git-lfs.github.com/spec/v1, Git LFS pointer",
    "<!DOCTYPE html><html>, web page",
    "GGUF\u0003, GGUF",
    "hello there, neither SafeTensors nor PyTorch",
    "PK\u0003\u0004 and more, truncated",
    "{, Unexpected end-of-input",
  })
  void saysWhatAFileIsInstead(String content, String reason) throws IOException {
    Path file = Files.writeString(dir.resolve("model.safetensors"), content);
    assertThatThrownBy(() -> Checkpoints.open(file))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(file.toString())
        .hasMessageContaining(reason);
  }

  @Test
  void refusesFoldersWithoutWeights() {
    assertThatThrownBy(() -> Checkpoints.open(dir))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(dir + " has no checkpoint");
    assertThatThrownBy(() -> Checkpoints.open(dir.resolve("none.pth")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("does not exist");
  }

  @Test
  void viewsRenameAndMerge() {
    Path base = write("base", Map.of("x", tensor(1), "proj", tensor(2)));
    Path over = write("over", Map.of("proj", tensor(3, 4)));
    try (Checkpoint c =
        Checkpoints.merged(
            List.of(
                Checkpoints.renamed(SafeTensors.open(base), name -> "llama_model." + name),
                Checkpoints.renamed(SafeTensors.open(over), name -> "llama_model." + name)))) {
      assertThat(c.names()).containsExactlyInAnyOrder("llama_model.x", "llama_model.proj");
      assertThat(c.shape("llama_model.proj")).containsExactly(2);
      assertThat(c.source("llama_model.proj")).isEqualTo(over.toString());
      assertThat(Checkpoints.under(c, "llama_model.").names())
          .containsExactlyInAnyOrder("x", "proj");
      assertThatThrownBy(() -> Checkpoints.renamed(c, name -> "same"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("both stand for 'same'");
      assertThatThrownBy(() -> c.tensor("x"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("nearest");
    }
  }

  @Test
  void readsResourcesInPlace() throws Exception {
    byte[] weights = Files.readAllBytes(write("w", Map.of("a", tensor(7, 8))));
    Path classes = Path.of(CheckpointsTest.class.getResource("CheckpointsTest.class").toURI());
    byte[] anchor = Files.readAllBytes(classes.resolveSibling("CheckpointsTest$Anchor.class"));
    String anchorName = Anchor.class.getName();
    for (boolean compressed : new boolean[] {false, true}) {
      ZipBytes zip =
          new ZipBytes()
              .add(anchorName.replace('.', '/') + ".class", anchor)
              .add("models/demo model.safetensors", weights);
      Path jar = dir.resolve(compressed ? "compressed.jar" : "with space.jar");
      Files.write(jar, (compressed ? zip.deflated() : zip).bytes());
      try (URLClassLoader loader =
          new URLClassLoader(
              new URL[] {jar.toUri().toURL()}, ClassLoader.getPlatformClassLoader())) {
        Class<?> inJar = loader.loadClass(anchorName);
        try (Checkpoint c = SafeTensors.ofResource(inJar, "/models/demo model.safetensors")) {
          assertThat(c.tensor("a").segment().isMapped()).isEqualTo(!compressed);
          assertThat(c.tensor("a").segment().get(ValueLayout.JAVA_BYTE, 1)).isEqualTo((byte) 8);
        }
        assertThatThrownBy(() -> SafeTensors.ofResource(inJar, "/models/none"))
            .isInstanceOf(UserException.class)
            .hasMessageContaining("/models/none");
      }
    }
    try (Checkpoint c =
        SafeTensors.ofResource(
            CheckpointsTest.class, "/golden/tiny/pickles/odd_tensors.safetensors")) {
      assertThat(c.tensor("float32").segment().isMapped()).isTrue();
    }
  }

  /** Stands in a jar for the class beside which a resource lies. */
  static final class Anchor {}
}
