package io.minigpt4.weights;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.JsonFactory;
import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.UserException;
import it.unimi.dsi.fastutil.longs.LongList;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class FolderWriterTest {
  private static final long SHARD = 4000;

  @TempDir Path dir;

  /** Counts from a number on; may break off at an element. */
  private static final class Counting extends PlannedTensor {
    private final float start;
    private final boolean breaks;

    Counting(String name, float start, boolean breaks) {
      super(name, DType.F32, 20, 30);
      this.start = start;
      this.breaks = breaks;
    }

    @Override
    MemorySegment stretch(long from, long count, MemorySegment scratch) {
      if (breaks) {
        throw new IllegalStateException("killed");
      }
      for (long i = 0; i < count; i++) {
        scratch.setAtIndex(ValueLayout.JAVA_FLOAT, i, start + from + i);
      }
      return scratch;
    }
  }

  private static List<PlannedTensor> tensors(int breaksAt) {
    List<PlannedTensor> tensors = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      tensors.add(new Counting("t" + i, 1000 * i, i == breaksAt));
    }
    return tensors;
  }

  private static void write(Path folder, String task, int breaksAt) {
    try (FolderWriter writer = FolderWriter.open(folder, task)) {
      writer.writeTensors(tensors(breaksAt), SHARD, (done, total) -> {});
      writer.writeText("config.json", "{}");
      writer.finish();
    }
  }

  private static void breakOff(Path folder, String task) {
    assertThatThrownBy(() -> write(folder, task, 2)).hasMessage("killed");
  }

  private static void assertWhole(Path folder) {
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThat(checkpoint.names()).containsExactlyInAnyOrder("t0", "t1", "t2", "t3");
      for (int i = 0; i < 4; i++) {
        float[] values = Tiny.floats(checkpoint, "t" + i);
        for (int j = 0; j < values.length; j++) {
          assertThat(values[j]).isEqualTo(1000 * i + j);
        }
      }
    }
    assertThat(folder.toFile().list())
        .doesNotContain(".lock", Checkpoints.UNFINISHED)
        .contains("checksums.json", "config.json");
  }

  @Test
  void whatWasStoppedGoesOnWithWhatIsWhole() throws IOException {
    breakOff(dir, "a task");
    Path first = dir.resolve("model-00001-of-00004.safetensors");
    FileTime longAgo = FileTime.from(1, TimeUnit.DAYS);
    Files.setLastModifiedTime(first, longAgo);
    Files.writeString(dir.resolve(".model-00003-of-00004.safetensors.1f.tmp"), "half a shard");

    assertThatThrownBy(() -> Checkpoints.open(dir))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("half written");
    write(dir, "a task", -1);

    assertThat(Files.getLastModifiedTime(first)).isEqualTo(longAgo);
    assertThat(dir.resolve(".model-00003-of-00004.safetensors.1f.tmp")).doesNotExist();
    assertWhole(dir);
  }

  @Test
  void aShardThatWasDamagedMeanwhileIsWrittenAgain() throws IOException {
    breakOff(dir, "a task");
    Path first = dir.resolve("model-00001-of-00004.safetensors");
    byte[] bytes = Files.readAllBytes(first);
    bytes[bytes.length - 5] ^= 1;
    Files.write(first, bytes);
    Files.delete(dir.resolve("model-00002-of-00004.safetensors"));

    write(dir, "a task", -1);

    assertWhole(dir);
  }

  @Test
  void anotherTaskDoesNotGoOn() {
    breakOff(dir, "a task");
    assertThatThrownBy(() -> write(dir, "another task", -1))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("was begun from other files or with other options");
    write(dir, "a task", -1);
    assertWhole(dir);
  }

  @Test
  void aDamagedJournalIsSaidToBeOne() throws IOException {
    breakOff(dir, "a task");
    Files.writeString(dir.resolve(Checkpoints.UNFINISHED), "");
    assertThatThrownBy(() -> write(dir, "a task", -1))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("unfinished.json is damaged")
        .hasMessageContaining("delete the folder to begin anew");
    assertThat(dir.resolve("model-00001-of-00004.safetensors")).exists();
  }

  @Test
  void aFolderWithOtherThingsInItIsLeftAlone() throws IOException {
    Files.writeString(dir.resolve("thesis.tex"), "years of work");
    assertThatThrownBy(() -> write(dir, "a task", -1))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is not empty (thesis.tex)");
    assertThat(dir.toFile().list()).containsExactly("thesis.tex");
  }

  @Test
  void aRunThatEndedBeforeItHadBegunIsNotInTheWay() throws IOException {
    Files.writeString(dir.resolve(".lock"), "");
    Files.writeString(dir.resolve(".unfinished.json.tmp"), "{");
    write(dir, "a task", -1);
    assertWhole(dir);
  }

  @Test
  void aFinishedFolderIsNotWrittenTwice() {
    write(dir, "a task", -1);
    assertThatThrownBy(() -> write(dir, "a task", -1)).hasMessageContaining("is not empty");
    assertWhole(dir);
  }

  @Test
  void aFolderInUseIsRefused() {
    try (FolderWriter writer = FolderWriter.open(dir, "a task")) {
      assertThat(writer.kept()).isZero();
      assertThatThrownBy(() -> FolderWriter.open(dir, "a task"))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("is being written by another run");
    }
    write(dir, "a task", -1);
    assertWhole(dir);
  }

  @Test
  void aDiskThatIsTooSmallIsFoundOutAtOnce() {
    PlannedTensor huge =
        new PlannedTensor("huge", DType.F32, 1L << 50) {
          @Override
          MemorySegment stretch(long from, long count, MemorySegment scratch) {
            throw new IllegalStateException("asked for its elements");
          }
        };
    try (FolderWriter writer = FolderWriter.open(dir, "a task")) {
      assertThatThrownBy(() -> writer.writeTensors(List.of(huge), SHARD, (done, total) -> {}))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("needs 4.5 PB")
          .hasMessageContaining("left");
    }
  }

  @Test
  void aFolderThatCannotBeMadeIsOneLine() throws IOException {
    Path file = Files.writeString(dir.resolve("file"), "");
    assertThatThrownBy(() -> FolderWriter.open(file.resolve("model"), "a task"))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("cannot be written");
    assertThatThrownBy(() -> FolderWriter.open(file, "a task"))
        .isInstanceOf(UserException.class)
        .hasMessage(file + " is there and is no folder: name a new folder");
    Path link = Files.createSymbolicLink(dir.resolve("link"), dir.resolve("nowhere"));
    assertThatThrownBy(() -> FolderWriter.open(link, "a task"))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("is no folder");
  }

  /** Where what a conversion needs was loaded from. */
  private static String classPath() throws URISyntaxException {
    List<String> places = new ArrayList<>();
    for (Class<?> used :
        List.of(
            Main.class, Checkpoint.class, CommandLine.class, JsonFactory.class, LongList.class)) {
      places.add(Path.of(used.getProtectionDomain().getCodeSource().getLocation().toURI()) + "");
    }
    return String.join(File.pathSeparator, places);
  }

  /** Starts the tool in a process of its own, by a line of bash. */
  private Process start(String bash, Object... arguments) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                "bash",
                "-c",
                bash,
                "bash",
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xshare:auto",
                "-XX:-UsePerfData",
                "--add-modules=jdk.incubator.vector",
                "-cp",
                classPath(),
                "io.minigpt4.weights.Main"));
    for (Object argument : arguments) {
      command.add(argument.toString());
    }
    return new ProcessBuilder(command)
        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
        .redirectError(dir.resolve("err").toFile())
        .start();
  }

  /** Killed when its n-th shard appears, which leaves a file or two half written. */
  @Test
  @EnabledOnOs(OS.LINUX)
  void aRunThatIsKilledGoesOnWhereItWas() throws Exception {
    Path out = dir.resolve("model");
    Object[] command = Tiny.convert(out, "--shard-size", "60k");
    for (int shards : new int[] {1, 5, 9}) {
      Process process = start("exec \"$@\"", command);
      while (process.isAlive() && count(out) < shards) {
        Thread.sleep(1);
      }
      process.destroyForcibly().waitFor();
      assertThat(process.exitValue()).as("killed in time").isNotZero();
      Tiny.assertDoesNotLoad(out);
    }
    assertThat(Tool.run(command).exitCode()).isZero();

    Path whole = dir.resolve("whole");
    assertThat(Tool.run(Tiny.convert(whole, "--shard-size", "60k")).exitCode()).isZero();
    assertThat(out.toFile().list()).containsExactlyInAnyOrder(whole.toFile().list());
    for (String name : whole.toFile().list()) {
      assertThat(out.resolve(name)).hasSameBinaryContentAs(whole.resolve(name));
    }
  }

  private static int count(Path folder) {
    String[] shards = folder.toFile().list((unused, name) -> name.startsWith("model-"));
    return shards == null ? 0 : shards.length;
  }

  /** A limit on the size of files stands for a disk that fills up while it is written. */
  @Test
  @EnabledOnOs(OS.LINUX)
  void aDiskThatFillsUpLeavesSomethingToGoOnWith() throws Exception {
    Path out = dir.resolve("model");
    Process process =
        start("ulimit -f 700; exec \"$@\"", Tiny.convert(out, "--shard-size", "900k"));
    assertThat(process.waitFor()).as("%s", Files.readString(dir.resolve("err"))).isEqualTo(2);

    String err = Files.readString(dir.resolve("err"), StandardCharsets.UTF_8);
    assertThat(err.replace("WARNING: Using incubator modules: jdk.incubator.vector\n", ""))
        .hasLineCount(1)
        .contains("cannot be written: File too large");
    Tiny.assertDoesNotLoad(out);
    Tool.Result again = Tool.run(Tiny.convert(out, "--shard-size", "900k"));
    assertThat(again.err()).isEmpty();
    assertThat(again.exitCode()).isZero();
  }
}
