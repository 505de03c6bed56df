package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The committed PTX is that of the CUDA sources, old enough for old drivers, and assembles. */
class CudaSourcesTest {
  private static final Path SOURCES = Path.of("src/main/cuda");
  private static final Path PTX = Path.of("src/main/resources/io/minigpt4/kernels");
  private static final Pattern INCLUDE = Pattern.compile("(?m)^#include \"(.*)\"$");
  private static final Pattern VERSION = Pattern.compile("(?m)^\\.version (\\d)\\.(\\d)$");

  private static List<String> names(Path folder, String extension) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(f -> f.getFileName().toString())
          .filter(f -> f.endsWith(extension))
          .map(f -> f.substring(0, f.length() - extension.length()))
          .sorted()
          .toList();
    }
  }

  @Test
  void everySourceHasItsPtx() throws IOException {
    assertThat(names(PTX, ".ptx")).isNotEmpty().isEqualTo(names(SOURCES, ".cu"));
    for (String name : names(SOURCES, ".cu")) {
      ByteArrayOutputStream text = new ByteArrayOutputStream();
      append(name + ".cu", text);
      assertThat(KernelLibrary.ptx(name).lines().findFirst())
          .as("%s.ptx is not current: run kernels/build-ptx.sh %s", name, name)
          .hasValue("// sha256 " + sha256(text.toByteArray()));
    }
  }

  /** A source, then the headers that it includes in the same way, as build-ptx.sh does. */
  private static void append(String file, ByteArrayOutputStream to) throws IOException {
    byte[] bytes = Files.readAllBytes(SOURCES.resolve(file));
    to.write(bytes);
    Matcher include = INCLUDE.matcher(new String(bytes, StandardCharsets.UTF_8));
    while (include.find()) {
      append(include.group(1), to);
    }
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void driversOfCuda118LoadIt() throws IOException {
    for (String name : names(PTX, ".ptx")) {
      Matcher version = VERSION.matcher(KernelLibrary.ptx(name));
      assertThat(version.find()).as(name).isTrue();
      int number = 10 * Integer.parseInt(version.group(1)) + Integer.parseInt(version.group(2));
      assertThat(number).as("PTX version of %s", name).isLessThanOrEqualTo(78);
      assertThat(KernelLibrary.ptx(name)).as(name).contains("\n.target sm_80\n");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sm_80", "sm_90"})
  void assembles(String architecture) throws IOException, InterruptedException {
    assumeTrue(
        Stream.of(System.getenv().getOrDefault("PATH", "").split(":", -1))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, "ptxas"))),
        "ptxas (of the CUDA toolkit) is not in PATH");
    for (String name : names(PTX, ".ptx")) {
      Process ptxas =
          new ProcessBuilder(
                  "ptxas",
                  "-arch=" + architecture,
                  "-o",
                  "/dev/null",
                  PTX.resolve(name + ".ptx").toString())
              .redirectErrorStream(true)
              .start();
      String messages = new String(ptxas.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      assertThat(ptxas.waitFor(2, TimeUnit.MINUTES)).isTrue();
      assertThat(ptxas.exitValue()).as("%s: %s", name, messages).isZero();
    }
  }
}
