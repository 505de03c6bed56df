package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** One run a folder, and what killed ones leave there. */
class OutputFolderTest {
  @TempDir private Path folder;

  @Test
  void oneRunAtATime() {
    Path output = folder.resolve("a/b");
    try (OutputFolder first = OutputFolder.take(output)) {
      assertThat(first.removeLeftovers()).isZero();
      assertThatThrownBy(() -> OutputFolder.take(output))
          .isInstanceOf(UserException.class)
          .hasMessageContaining(output + " is being written by another run (process ")
          .hasMessageContaining(ProcessHandle.current().pid() + ")")
          .hasMessageContaining("--output");
    }
    OutputFolder.take(output).close();
  }

  @Test
  void whatAKilledRunLeftIsRemovedAndNothingElse() throws Exception {
    Files.createFile(folder.resolve(".checkpoint_3.pth.1f3a.tmp"));
    Files.createFile(folder.resolve(".checkpoint_latest.pth.0.tmp"));
    Path own = Files.createFile(folder.resolve(".notes.tmp"));
    Path good = Files.createFile(folder.resolve("checkpoint_2.pth"));
    try (OutputFolder output = OutputFolder.take(folder)) {
      assertThat(output.removeLeftovers()).isEqualTo(2);
    }
    assertThat(own).exists();
    assertThat(good).exists();
    assertThat(folder).isDirectoryNotContaining("glob:**.checkpoint*.tmp");
  }

  @Test
  void aFileIsNoFolder() throws Exception {
    Path file = Files.createFile(folder.resolve("file"));
    assertThatThrownBy(() -> OutputFolder.take(file))
        .isInstanceOf(UserException.class)
        .hasMessageContaining(file + " is a file");
    assertThatThrownBy(() -> OutputFolder.take(file.resolve("below")))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("below cannot be written: ")
        .hasMessageContaining("--output");
  }
}
