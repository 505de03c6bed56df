package io.minigpt4;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.testing.Program;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** The script {@code minigpt4} at the top of the repository, with the jar already built. */
@Timeout(180)
@DisabledOnOs(OS.WINDOWS)
class StartScriptIT {
  private static final Path SCRIPT = Program.engineJar().resolve("../../../minigpt4").normalize();

  @TempDir Path folder;

  @Test
  void itStartsThroughLinksFromAnywhere() throws Exception {
    Path blanks = Files.createDirectory(folder.resolve("a folder"));
    Path first = Files.createSymbolicLink(blanks.resolve("first"), SCRIPT);
    Path second = Files.createSymbolicLink(folder.resolve("second"), Path.of("a folder/first"));
    assertThat(run(Map.of(), first.toString(), "--version")).startsWith("0 minigpt4 ");
    assertThat(run(Map.of(), second.toString(), "--version")).startsWith("0 minigpt4 ");
  }

  @Test
  void argumentsAndExitCodesPassThrough() throws Exception {
    assertThat(run(Map.of(), SCRIPT.toString(), "no such command"))
        .startsWith("2 ")
        .contains("'no such command'")
        .hasLineCount(1);
  }

  @Test
  void optionsForTheVirtualMachineAreTaken() throws Exception {
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_OPTS", "-XX:+UseParallelGC -Xlog:gc");
    assertThat(run(environment, SCRIPT.toString(), "help")).startsWith("0 ").contains("Parallel");
  }

  @Test
  void aJdkThatIsNamedAndDoesNotFitIsAnError() throws Exception {
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_HOME", folder.toString());
    assertThat(run(environment, SCRIPT.toString(), "--version"))
        .startsWith("2 minigpt4: MINIGPT4_JAVA_HOME=" + folder)
        .contains("JDK 25")
        .hasLineCount(1);
  }

  /** The exit code, a blank, and all output. */
  private String run(Map<String, String> environment, String... command) throws Exception {
    ProcessBuilder builder =
        Program.builder(command).directory(folder.toFile()).redirectErrorStream(true);
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return process.waitFor() + " " + output;
  }
}
