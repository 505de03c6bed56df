package io.minigpt4.testing;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A program that ran to its end.
 *
 * @param code its exit code
 * @param out what it wrote to standard output
 * @param err what it wrote to standard error
 */
public record Program(int code, String out, String err) {
  /** The engine's finished jar; known in the integration tests. */
  public static Path engineJar() {
    return Path.of(System.getProperty("minigpt4.jar"));
  }

  /** The java program that runs the tests. */
  public static String thisJava() {
    return Path.of(System.getProperty("java.home"), "bin", "java").toString();
  }

  /** A command whose environment names no JDK and no options of ours. */
  public static ProcessBuilder builder(String... command) {
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().remove("MINIGPT4_JAVA_HOME");
    builder.environment().remove("MINIGPT4_JAVA_OPTS");
    return builder;
  }

  /**
   * Lets the command be interrupted even where the tests run in the background of a shell, whose
   * processes inherit that SIGINT is ignored. Linux only: it needs GNU's env.
   */
  public static ProcessBuilder interruptible(ProcessBuilder builder) {
    if (System.getProperty("os.name").equals("Linux")) {
      builder.command().addAll(0, List.of("env", "--default-signal=INT"));
    }
    return builder;
  }

  /** Runs a command with this environment added and this standard input. */
  public static Program run(Map<String, String> environment, String input, String... command)
      throws IOException, InterruptedException {
    ProcessBuilder builder = builder(command);
    builder.environment().putAll(environment);
    Path out = Files.createTempFile("program", ".out");
    Path err = Files.createTempFile("program", ".err");
    try {
      Process process = builder.redirectOutput(out.toFile()).redirectError(err.toFile()).start();
      try (OutputStream to = process.getOutputStream()) {
        to.write(input.getBytes(StandardCharsets.UTF_8));
      }
      int code = process.waitFor();
      return new Program(code, Files.readString(out), Files.readString(err));
    } finally {
      Files.delete(out);
      Files.delete(err);
    }
  }
}
