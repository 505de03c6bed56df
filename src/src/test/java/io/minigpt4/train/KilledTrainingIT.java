package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Training that ends otherwise than it should: by SIGKILL, and where there is no room left. */
@Timeout(600)
class KilledTrainingIT {
  private static final int EPOCHS = 20;
  private static final int KILLS = 4;

  @TempDir private Path folder;

  private Process start(List<String> command) throws IOException {
    Files.deleteIfExists(log());
    return new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(log().toFile())
        .start();
  }

  private Path log() {
    return folder.resolve("log.txt");
  }

  private void runToTheEnd(Path output, int epochs) throws Exception {
    Process process = start(OneOfSeveral.command(output, epochs, true));
    assertThat(process.waitFor()).as(Files.readString(log())).isZero();
  }

  private static List<Path> checkpoints(Path output) throws IOException {
    try (Stream<Path> files = Files.list(output)) {
      return files.filter(file -> file.toString().endsWith(".pth")).toList();
    }
  }

  /** The seed changes, so that runs of this test try other moments; the result does not. */
  @Test
  void killedAtAnyMomentItGoesOnAsIfNothingHadBeen() throws Exception {
    Path whole = Files.createDirectory(folder.resolve("whole"));
    runToTheEnd(whole, EPOCHS);
    Path killed = Files.createDirectory(folder.resolve("killed"));
    long seed = System.nanoTime();
    Random random = new Random(seed);
    int killedWithin = 0;
    for (int i = 0; i < KILLS; i++) {
      Process process = start(OneOfSeveral.command(killed, EPOCHS, true));
      while (process.isAlive() && !Files.readString(log()).contains("ready")) {
        Thread.sleep(20);
      }
      Thread.sleep(random.nextInt(700));
      process.destroyForcibly();
      killedWithin += process.waitFor() == 0 ? 0 : 1;
      for (Path file : checkpoints(killed)) {
        try (Checkpoint checkpoint = Checkpoints.open(file)) {
          assertThat(checkpoint.contains("llama_proj.weight"))
              .as("%s, seed %d", file, seed)
              .isTrue();
        }
      }
    }
    assertThat(killedWithin).as("kills that came before the end").isPositive();
    runToTheEnd(killed, EPOCHS);
    String last = "checkpoint_" + (EPOCHS - 1) + ".pth";
    assertThat(Files.readAllBytes(killed.resolve(last)))
        .as("weights, moments and sum of losses, seed %d", seed)
        .isEqualTo(Files.readAllBytes(whole.resolve(last)));
  }

  /** A limit on the size of files makes writes fail in the midst, as a full disk does. */
  @Test
  void withoutRoomTheLastGoodCheckpointStays() throws Exception {
    Path bash = Path.of("/bin/bash");
    assumeThat(bash).as("a shell that limits the size of files").isExecutable();
    Path output = Files.createDirectory(folder.resolve("full"));
    runToTheEnd(output, 1);
    Path good = output.resolve("checkpoint_0.pth");
    byte[] before = Files.readAllBytes(good);
    long blocks = before.length / 1024 / 2;
    assertThat(blocks).isPositive();
    List<String> limited = new ArrayList<>(List.of(bash.toString(), "-c"));
    limited.addAll(List.of("ulimit -f " + blocks + "; exec \"$@\"", "bash"));
    limited.addAll(OneOfSeveral.command(output, 2, true));
    assertThat(start(limited).waitFor()).isNotZero();
    assertThat(Files.readString(log())).contains("checkpoint_latest.pth cannot be written: ");
    assertThat(output).isDirectoryNotContaining(file -> file.toString().endsWith(".tmp"));
    assertThat(Files.readAllBytes(good)).isEqualTo(before);
    runToTheEnd(output, 2);
    assertThat(output.resolve("checkpoint_1.pth")).exists();
  }
}
