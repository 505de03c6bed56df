package io.minigpt4.config;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UserHomeTest {
  @TempDir private Path folder;

  @Test
  void theVariableGoesBeforeJavasPropertyWhereItNamesAFolder() {
    Path other = folder.resolve("other");
    assertThat(UserHome.of(other.toString(), folder.toString())).isEqualTo(other);
    assertThat(UserHome.of(null, folder.toString())).isEqualTo(folder);
    assertThat(UserHome.of("", folder.toString())).isEqualTo(folder);
    assertThat(UserHome.of("here", folder.toString())).isEqualTo(folder);
    assertThat(UserHome.of("\0", folder.toString())).isEqualTo(folder);
  }
}
