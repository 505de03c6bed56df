package io.minigpt4.bench;

import io.minigpt4.tensor.UserException;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** A {@code minigpt4 serve} in a process of its own, from the classes that this one runs. */
final class ServerProcess implements AutoCloseable {
  private static final Pattern ADDRESS = Pattern.compile("http://[^\\s/]+:\\d+");

  private final Process process;
  private final URI address;

  private ServerProcess(Process process, URI address) {
    this.process = process;
    this.address = address;
  }

  /**
   * Starts it at a free port and waits until it listens.
   *
   * @throws UserException if it ends before
   */
  static ServerProcess start(List<String> options, @Nullable String key) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(
        List.of("--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"));
    command.add("-XX:+UseSerialGC"); // as the start script does
    command.addAll(List.of("-cp", System.getProperty("java.class.path")));
    command.addAll(List.of("io.minigpt4.cli.Main", "serve", "--port", "0"));
    command.addAll(options);
    ProcessBuilder builder = new ProcessBuilder(command);
    if (key != null) {
      builder.environment().put("MINIGPT4_API_KEY", key);
    }
    Process process = builder.redirectError(ProcessBuilder.Redirect.DISCARD).start();
    BufferedReader lines = process.inputReader(StandardCharsets.UTF_8);
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      Matcher matcher = ADDRESS.matcher(line);
      if (matcher.find()) {
        return new ServerProcess(process, URI.create(matcher.group()));
      }
    }
    throw new UserException(
        "the server ended before it listened; see minigpt4 serve " + String.join(" ", options));
  }

  URI address() {
    return address;
  }

  /** Ends it, gently at first. */
  @Override
  public void close() throws IOException {
    process.destroy();
    try {
      if (!process.waitFor(20, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
    process.getInputStream().close();
  }
}
