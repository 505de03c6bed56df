package io.minigpt4.testing;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The finished jar's {@code serve}, with the demo model, on a free port of this machine. */
public final class Server implements AutoCloseable {
  private static final Pattern ADDRESS = Pattern.compile("http://[^\\s/]+:\\d+");

  private final Process process;
  private final URI address;

  private Server(Process process, URI address) {
    this.process = process;
    this.address = address;
  }

  /**
   * Starts it and waits until it says where it listens.
   *
   * @param options of {@code serve}, besides the port
   */
  public static Server start(String... options) throws IOException {
    List<String> command = new ArrayList<>();
    command.addAll(List.of(Program.thisJava(), "-jar", Program.engineJar().toString()));
    command.addAll(List.of("serve", "--port", "0"));
    command.addAll(List.of(options));
    ProcessBuilder builder = Program.builder(command.toArray(String[]::new));
    Process process = builder.redirectErrorStream(true).start();
    BufferedReader lines = process.inputReader(StandardCharsets.UTF_8);
    StringBuilder said = new StringBuilder();
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      said.append(line).append('\n');
      Matcher matcher = ADDRESS.matcher(line);
      if (matcher.find()) {
        Thread drain = new Thread(() -> lines.lines().forEach(more -> {}), "server output");
        drain.setDaemon(true);
        drain.start();
        return new Server(process, URI.create(matcher.group()));
      }
    }
    throw new IOException("serve ended without saying where it listens:\n" + said);
  }

  /** Where it listens, without a path. */
  public URI address() {
    return address;
  }

  /** Ends it, gently at first. */
  @Override
  public void close() {
    process.destroy();
    try {
      if (!process.waitFor(20, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }
}
