package io.minigpt4.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * The GPU check's script, beside programs that pass, fail and hang: it reports all of it, in time.
 */
@EnabledOnOs(OS.LINUX)
@Timeout(120)
class GpuCheckTest {
  @TempDir private Path folder = Path.of("");

  @BeforeEach
  void layOut() throws IOException {
    Path script = folder.resolve("gpu-check.sh");
    Files.copy(Path.of("gpu-check.sh"), script, StandardCopyOption.REPLACE_EXISTING);
    executable(script);
    Files.createDirectories(folder.resolve("runtime/bin"));
    program("runtime/bin/java", "");
    program("minigpt4", "echo '\"text\":\"five\",\"finish_reason\"'");
    program(
        "minigpt4-bench",
        """
        case "$*" in
          *Q8*) echo "no GPU can be used: libcuda.so was not found"; exit 2 ;;
          parity*) echo "an error of 0.3"; exit 1 ;;
          vision*) sleep 60 ;;
        esac
        while [ $# -gt 0 ]; do
          [ "$1" = --json ] && echo "{}" >"$2"
          shift
        done
        echo measured
        """);
  }

  private void program(String name, String body) throws IOException {
    Path file = folder.resolve(name);
    Files.writeString(file, "#!/bin/sh\n" + body);
    executable(file);
  }

  private static void executable(Path file) throws IOException {
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  /** Its exit code. */
  private int check(String limit, String... parts) throws IOException, InterruptedException {
    ProcessBuilder builder = new ProcessBuilder("./gpu-check.sh", "out");
    builder.command().addAll(List.of(parts));
    builder.environment().put("LIMIT", limit);
    builder.environment().put("PART_LIMIT", "5");
    builder.environment().put("PYTHON", "no-such-python");
    Path log = folder.resolve("log.txt");
    builder.directory(folder.toFile()).redirectErrorStream(true).redirectOutput(log.toFile());
    return builder.start().waitFor();
  }

  private String result(String part) throws IOException {
    return Files.readAllLines(folder.resolve("out/parts.tsv"), StandardCharsets.UTF_8).stream()
        .filter(line -> line.startsWith(part + "\t"))
        .findFirst()
        .orElse("no " + part);
  }

  @Test
  void whatFailsHangsOrIsMissingIsReported() throws Exception {
    String[] parts = {
      "doctor", "demo", "parity", "llm", "vision", "torch", "compare", "llm8", "llm4"
    };
    assertThat(check("100", parts)).isEqualTo(1);
    assertThat(result("doctor")).contains("passed");
    assertThat(result("demo")).contains("passed", "the same as the processor's");
    assertThat(result("parity")).contains("failed", "exit code 1: an error of 0.3");
    assertThat(result("llm")).contains("passed", "measured");
    assertThat(result("vision")).contains("failed", "limit of 5 s");
    assertThat(result("torch")).contains("missing", "no-such-python");
    assertThat(result("compare")).contains("missing", "PyTorch was not measured");
    assertThat(result("llm8")).contains("missing", "no GPU can be used: libcuda.so was not found");
    assertThat(result("llm4")).contains("passed");
    assertThat(folder.resolve("out/report.md")).content().contains("| parity | failed |");
    assertThat(folder.resolve("out/report.json")).content().contains("\"status\": \"failed\"");
  }

  @Test
  void aSecondCallGoesOnWhereTheFirstRanOutOfTime() throws Exception {
    assertThat(check("100", "llm")).isZero();
    assertThat(check("4")).isEqualTo(1); // less than any part's limit
    assertThat(result("llm")).contains("passed");
    assertThat(result("doctor")).contains("missing", "no time left");
    assertThat(check("100")).isEqualTo(1);
    assertThat(result("doctor")).contains("passed");
    assertThat(result("compare-training")).contains("missing", "PyTorch was not measured");
    assertThat(Files.readString(folder.resolve("log.txt"))).doesNotContain(" llm ");
  }
}
