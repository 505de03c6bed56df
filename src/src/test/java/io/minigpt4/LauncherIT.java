package io.minigpt4;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.testing.Program;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * The launcher in real processes: the finished jar, and a jar with its manifest that starts {@link
 * LauncherProbe}.
 */
@Timeout(120)
class LauncherIT {
  private static final Path ENGINE_JAR = Program.engineJar();
  private static final String THIS_JAVA = Program.thisJava();

  @TempDir static Path folder;
  private static Path probeJar;
  private static Path closedJar;

  /** Starts the probe; in {@code closedJar} the manifest does not open the JDK's module loader. */
  @BeforeAll
  static void makeJars() throws IOException {
    Manifest manifest;
    try (JarFile jar = new JarFile(ENGINE_JAR.toFile())) {
      manifest = new Manifest(jar.getManifest());
    }
    manifest.getMainAttributes().putValue("Launched-Class", LauncherProbe.class.getName());
    probeJar = jar("probe with blanks.jar", manifest);
    manifest.getMainAttributes().remove(new Attributes.Name("Add-Exports"));
    closedJar = jar("closed.jar", manifest);
  }

  private static Path jar(String name, Manifest manifest) throws IOException {
    Path path = folder.resolve(name);
    try (OutputStream out = Files.newOutputStream(path);
        JarOutputStream jar = new JarOutputStream(out, manifest)) {
      for (String simpleName :
          List.of("Launcher", "Jdks", "Jdks$Search", "OrphanGuard", "LauncherProbe")) {
        String entry = "io/minigpt4/" + simpleName + ".class";
        jar.putNextEntry(new ZipEntry(entry));
        try (InputStream in = LauncherIT.class.getResourceAsStream("/" + entry)) {
          assertThat(in).as(entry).isNotNull();
          in.transferTo(jar);
        }
      }
    }
    return path;
  }

  @Test
  void theFinishedJarTellsItsVersion() throws Exception {
    Program run = Program.run(Map.of(), "", THIS_JAVA, "-jar", ENGINE_JAR.toString(), "--version");
    assertThat(run.out()).matches("minigpt4 [0-9]+\\.[0-9]+\\.[0-9]+(-SNAPSHOT)?\\R");
    assertThat(run.code()).isZero();
  }

  @Test
  void aFittingJavaLoadsTheVectorModuleInProcess() throws Exception {
    Program run = Program.run(Map.of(), "", THIS_JAVA, "-jar", probeJar.toString(), "vector");
    assertThat(run).isEqualTo(new Program(0, "4", ""));
  }

  @Test
  void argumentsArriveAsTheyAre() throws Exception {
    String[] command = {THIS_JAVA, "-jar", probeJar.toString(), "arguments", "a b", "", "\"ü\\"};
    Program run = Program.run(Map.of("LC_ALL", "C.UTF-8"), "", command);
    assertThat(run.out()).isEqualTo("arguments|a b||\"ü\\");
  }

  @Test
  void whenLoadingFailsAChildDoesIt() throws Exception {
    Program run = Program.run(Map.of(), "", THIS_JAVA, "-jar", closedJar.toString(), "vector");
    assertThat(run.out()).isEqualTo("4");
    assertThat(run.code()).isZero();
    assertThat(
            Program.run(Map.of(), "", THIS_JAVA, "-jar", closedJar.toString(), "exit", "7").code())
        .isEqualTo(7);
  }

  @Test
  void childrenDoNotBegetChildrenForEver() throws Exception {
    Program run =
        Program.run(
            Map.of(),
            "",
            THIS_JAVA,
            "-Dminigpt4.launcher.depth=2",
            "-jar",
            closedJar.toString(),
            "vector");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err()).contains("jdk.incubator.vector").hasLineCount(1);
  }

  @Test
  void anOlderJavaFindsAFittingOne() throws Exception {
    String old = OlderJava.program();
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_OPTS", "-Xmx200m -Dprobe=there");
    Program run = Program.run(environment, "", old, "-jar", probeJar.toString(), "machine");
    assertThat(run.out()).matches("(2[5-9]|[3-9][0-9]) (19[0-9]|200) there");
    assertThat(run.err()).isEmpty();
    Program own =
        Program.run(
            Map.of(), "", old, "-Xmx100m", "-Dprobe=own", "-jar", probeJar.toString(), "machine");
    assertThat(own.out()).matches("(2[5-9]|[3-9][0-9]) (9[0-9]|100) own");
  }

  @Test
  void optionsThatAChildRefusesAreOneLine() throws Exception {
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_OPTS", "-Xmx200m -XX:NoSuchFlag");
    Program run =
        Program.run(environment, "", THIS_JAVA, "-jar", closedJar.toString(), "exit", "7");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err())
        .startsWith("minigpt4: MINIGPT4_JAVA_OPTS=-Xmx200m -XX:NoSuchFlag: Unrecognized VM option")
        .hasLineCount(1);
  }

  @Test
  void inputAndExitCodePassThrough() throws Exception {
    String old = OlderJava.program();
    Program echo =
        Program.run(Map.of(), "typed\nlines\n", old, "-jar", probeJar.toString(), "echo");
    assertThat(echo).isEqualTo(new Program(0, "typed\nlines\n", ""));
    assertThat(Program.run(Map.of(), "", old, "-jar", probeJar.toString(), "exit", "3").code())
        .isEqualTo(3);
  }

  @Test
  void withoutAFittingJavaALineSaysHowToGetOne() throws Exception {
    Map<String, String> environment = Map.of("MINIGPT4_JAVA_HOME", folder.toString());
    Program run =
        Program.run(environment, "", OlderJava.program(), "-jar", ENGINE_JAR.toString(), "help");
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err()).contains("MINIGPT4_JAVA_HOME", "JDK 25", "https://").hasLineCount(1);
    assertThat(run.out()).isEmpty();
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void signalsReachTheChild() throws Exception {
    String old = OlderJava.program();
    assertThat(codeAfter("INT", old)).isEqualTo(LauncherProbe.INTERRUPTED);
    assertThat(codeAfter("TERM", old)).isEqualTo(143);
    assertThat(codeAfter("KILL", old)).isEqualTo(137);
  }

  /** Signals the launcher while the probe waits; returns its code once the probe is gone too. */
  private static int codeAfter(String signal, String java) throws Exception {
    ProcessBuilder builder = Program.builder(java, "-jar", probeJar.toString(), "wait");
    // In a session of its own there is no terminal whose Ctrl-C the child would get by itself.
    builder.command().addFirst("setsid");
    Process launcher =
        Program.interruptible(builder).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try (BufferedReader out = launcher.inputReader(StandardCharsets.UTF_8)) {
      long pid = Long.parseLong(out.readLine());
      ProcessHandle child = ProcessHandle.of(pid).orElseThrow();
      assertThat(pid).isNotEqualTo(launcher.pid());
      Program.run(Map.of(), "", "kill", "-" + signal, Long.toString(launcher.pid()));
      int code = launcher.waitFor();
      child.onExit().get(30, TimeUnit.SECONDS);
      return code;
    } finally {
      launcher.destroyForcibly();
    }
  }
}
