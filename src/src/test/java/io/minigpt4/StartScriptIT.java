package io.minigpt4;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.testing.Program;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
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
  void aClosedInputHoldsNoQuestions() throws Exception {
    Path picture = SCRIPT.resolveSibling("docs/images/scene.png");
    String command = "exec '" + SCRIPT + "' chat '" + picture + "' <&-";
    assertThat(run(Map.of(), "sh", "-c", command))
        .startsWith("2 minigpt4: nothing was asked")
        .hasLineCount(1);
  }

  @Test
  void optionsThatTheVirtualMachineRefusesAreOneLine() throws Exception {
    assertRefused("-XX:NoSuchFlag", "Unrecognized VM option 'NoSuchFlag'");
    assertRefused("-Xmx1k", "Too small maximum heap");
    assertRefused("800m", "Could not find or load main class 800m");
  }

  private void assertRefused(String options, String reason) throws Exception {
    assertThat(run(Map.of("MINIGPT4_JAVA_OPTS", options), SCRIPT.toString(), "help"))
        .startsWith("2 minigpt4: MINIGPT4_JAVA_OPTS=" + options + ": " + reason)
        .hasLineCount(1);
  }

  @Test
  void aJdkThatIsNamedAndDoesNotFitIsAnError() throws Exception {
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_HOME", folder.toString());
    assertThat(run(environment, SCRIPT.toString(), "--version"))
        .startsWith("2 minigpt4: MINIGPT4_JAVA_HOME=" + folder)
        .contains("JDK 25")
        .hasLineCount(1);
  }

  @Test
  void twoFirstStartsBuildOnce() throws Exception {
    Path fresh = freshClone("sleep 2; cp \"$REAL_JAR\" src/target/minigpt4-engine.jar");
    Process one = start(environment(fresh), fresh.resolve("minigpt4").toString(), "--version");
    Process two = start(environment(fresh), fresh.resolve("minigpt4").toString(), "--version");
    String outputs = end(one) + end(two);
    assertThat(outputs.split("0 minigpt4: ", -1)).hasSize(3);
    assertThat(outputs).contains("building the jar", "another start is building the jar");
    assertThat(outputs.lines().filter(line -> line.matches("minigpt4 \\S+"))).hasSize(2);
    assertThat(fresh.resolve("src/builds")).hasContent("build");
    assertThat(fresh.resolve("src/target/first-build.lock")).doesNotExist();
  }

  @Test
  void aBuildThatFailsLeavesNoHalfJar() throws Exception {
    Path fresh = freshClone("echo '[ERROR] no'; echo PK >src/target/minigpt4-engine.jar; exit 1");
    String output = run(environment(fresh), fresh.resolve("minigpt4").toString(), "--version");
    assertThat(output).startsWith("1 ").contains("[ERROR] no").contains("the build failed");
    assertThat(fresh.resolve("src/target/minigpt4-engine.jar")).doesNotExist();
    assertThat(fresh.resolve("src/target/first-build.lock")).doesNotExist();
  }

  @Test
  void aLockThatWasLeftBehindIsTaken() throws Exception {
    Path fresh = freshClone("cp \"$REAL_JAR\" src/target/minigpt4-engine.jar");
    Path lock = Files.createDirectories(fresh.resolve("src/target/first-build.lock"));
    Files.writeString(lock.resolve("pid"), "999999999");
    assertThat(run(environment(fresh), fresh.resolve("minigpt4").toString(), "--version"))
        .startsWith("0 ");
    assertThat(lock).doesNotExist();
  }

  /** A folder with the script, and a Maven that does this instead of building. */
  private Path freshClone(String maven) throws Exception {
    Path fresh = Files.createDirectories(folder.resolve("fresh clone"));
    Files.copy(SCRIPT, fresh.resolve("minigpt4"), StandardCopyOption.COPY_ATTRIBUTES);
    Files.createDirectories(fresh.resolve("src"));
    Path mvn = Files.createDirectories(fresh.resolve("bin")).resolve("mvn");
    Files.writeString(mvn, "#!/bin/sh\necho build >>src/builds\n" + maven + "\n");
    assertThat(mvn.toFile().setExecutable(true)).isTrue();
    return fresh;
  }

  private static Map<String, String> environment(Path fresh) {
    String path = fresh.resolve("bin") + File.pathSeparator + System.getenv("PATH");
    return Map.of("PATH", path, "REAL_JAR", Program.engineJar().toString());
  }

  private String run(Map<String, String> environment, String... command) throws Exception {
    return end(start(environment, command));
  }

  private Process start(Map<String, String> environment, String... command) throws Exception {
    ProcessBuilder builder =
        Program.builder(command).directory(folder.toFile()).redirectErrorStream(true);
    builder.environment().putAll(environment);
    Process process = builder.start();
    process.getOutputStream().close();
    return process;
  }

  /** The exit code, a blank, and all output. */
  private static String end(Process process) throws Exception {
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return process.waitFor() + " " + output;
  }
}
