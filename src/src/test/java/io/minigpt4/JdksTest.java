package io.minigpt4;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JdksTest {
  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource({
    "1.8.0_402, 8",
    "11.0.2, 11",
    "17, 17",
    "25.0.3, 25",
    "25-ea, 25",
    "26.0.1+9-LTS, 26",
    "1, 1",
    "unknown, 0",
    "'', 0"
  })
  void featureOfVersion(String version, int feature) {
    assertThat(Jdks.feature(version)).isEqualTo(feature);
  }

  @Test
  void aHomeWithoutProgramOrReleaseFileIsNoJdk() throws IOException {
    assertThat(Jdks.feature(folder.resolve("missing").toFile())).isZero();
    File noRelease = jdk("no-release", null);
    assertThat(Jdks.feature(noRelease)).isZero();
    Path noProgram = Files.createDirectory(folder.resolve("no-program"));
    Files.writeString(noProgram.resolve("release"), "JAVA_VERSION=\"25\"\n");
    assertThat(Jdks.feature(noProgram.toFile())).isZero();
  }

  @Test
  void aRuntimeWithoutTheVectorModuleIsNoJdk() throws IOException {
    File small = jdk("small", "JAVA_VERSION=\"25.0.1\"\nMODULES=\"java.base java.logging\"\n");
    File whole =
        jdk("whole", "MODULES=\"java.base jdk.incubator.vector\"\nJAVA_VERSION=\"25.0.1\"\n");
    assertThat(Jdks.feature(small)).isZero();
    assertThat(Jdks.feature(whole)).isEqualTo(25);
  }

  @Test
  void theNearestVersionIsTaken() throws IOException {
    jdk("jdk-17", "JAVA_VERSION=\"17.0.15\"\n");
    jdk("jdk-27", "JAVA_VERSION=\"27\"\n");
    File best = jdk("jdk-26", "JAVA_VERSION=\"26.0.2\"\n");
    assertThat(Jdks.nearest(Jdks.homesIn(folder.toFile()), 25)).isEqualTo(best);
    assertThat(Jdks.nearest(Jdks.homesIn(folder.toFile()), 28)).isNull();
  }

  @Test
  void bundlesAreOpened() throws IOException {
    File home = jdk("temurin-25.jdk/Contents/Home", "JAVA_VERSION=\"25.0.3\"\n");
    Files.createDirectory(folder.resolve("empty"));
    assertThat(Jdks.homesIn(folder.toFile())).isEqualTo(List.of(home));
    assertThat(Jdks.homesIn(folder.resolve("missing").toFile())).isEmpty();
  }

  private File jdk(String name, @Nullable String release) throws IOException {
    Path home = folder.resolve(name);
    boolean windows = System.getProperty("os.name").startsWith("Windows");
    Path java = home.resolve("bin").resolve(windows ? "java.exe" : "java");
    Files.createDirectories(java.getParent());
    Files.createFile(java);
    assertThat(java.toFile().setExecutable(true)).isTrue();
    if (release != null) {
      Files.writeString(home.resolve("release"), release);
    }
    return home.toFile();
  }
}
