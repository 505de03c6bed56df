package io.minigpt4.bench;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** A server under load: many clients that talk about pictures, one question after the other. */
@Command(
    name = "serve",
    description =
        "Clients that ask a server for streamed answers without a pause, for a while: its speed,"
            + " how long they wait for the first token, errors, and the server's memory. Ends with"
            + " exit code 1 if anything went wrong.",
    footer = {"", "Example: minigpt4-bench serve --clients 64 --seconds 120 -- --max-running 32"},
    mixinStandardHelpOptions = true)
final class ServeBench implements Callable<Integer> {
  @Spec private CommandSpec spec = CommandSpec.create();

  @Option(
      names = "--url",
      paramLabel = "URL",
      description = "The server, as http://127.0.0.1:8080 (default: one of its own is started).")
  private @Nullable URI url;

  @Option(names = "--api-key", paramLabel = "KEY", description = "What the server wants to see.")
  private @Nullable String key;

  @Option(
      names = "--clients",
      paramLabel = "N",
      description = "How many at a time (default: ${DEFAULT-VALUE}).",
      defaultValue = "64")
  private int clients = 64;

  @Option(
      names = "--seconds",
      paramLabel = "S",
      description = "After which no client asks again (default: ${DEFAULT-VALUE}).",
      defaultValue = "120")
  private int seconds = 120;

  @Option(
      names = "--warm-up",
      paramLabel = "S",
      description =
          "Seconds of the same before, which count for nothing but errors (default:"
              + " ${DEFAULT-VALUE}).",
      defaultValue = "20")
  private int warmUp = 20;

  @Option(
      names = "--seed",
      description = "Of what they ask (default: ${DEFAULT-VALUE}).",
      defaultValue = "1")
  private long seed = 1;

  @Option(names = "--json", paramLabel = "FILE", description = "Also write the figures as JSON.")
  private @Nullable Path json;

  @Parameters(
      paramLabel = "OPTION",
      description = "Options of minigpt4 serve for the server that is started, behind --.")
  private List<String> serverOptions = new ArrayList<>();

  @Override
  public Integer call() throws IOException, InterruptedException {
    if (clients < 1 || seconds < 1 || warmUp < 0) {
      throw new UserException("--clients and --seconds must be at least 1, --warm-up at least 0");
    }
    if (url != null) {
      return load(url);
    }
    try (ServerProcess server = ServerProcess.start(serverOptions, key)) {
      return load(server.address());
    }
  }

  private int load(URI server) throws IOException, InterruptedException {
    try (HttpClient http =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(20))
            .build()) {
      ServerMetrics metrics = new ServerMetrics(http, server, key);
      ServerMetrics.Values start = metrics.read();
      LoadTally before = new LoadTally();
      run(http, server, before, seed, warmUp);
      ServerMetrics.Values warm = metrics.read();
      LoadTally tally = new LoadTally();
      double took = run(http, server, tally, seed + 1, seconds);
      ServerMetrics.Values end = metrics.read();
      Report report = new Report();
      report.fact("model", metrics.model());
      report.fact("clients", clients + ", for " + seconds + " s after " + warmUp + " s to warm up");
      tally.report(report, took);
      memory(report, "at the start", start);
      memory(report, "warm", warm);
      memory(report, "at the end", end);
      report.add("prompt tokens that were cached", "%", 100 * end.cachedShare(warm));
      report.add("pictures encoded", "", end.imagesEncoded() - warm.imagesEncoded());
      report.print(spec.commandLine().getOut());
      before.printErrors(spec.commandLine().getErr());
      tally.printErrors(spec.commandLine().getErr());
      report.write(json);
      return before.errors() + tally.errors() == 0 ? 0 : 1;
    }
  }

  private static void memory(Report report, String when, ServerMetrics.Values values) {
    report.add("server's memory " + when, "MB", 1e-6 * values.residentBytes());
  }

  /** Seconds until the last client had its last answer. */
  private double run(HttpClient http, URI server, LoadTally tally, long dice, int duration)
      throws InterruptedException {
    long start = System.nanoTime();
    long end = start + Duration.ofSeconds(duration).toNanos();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < clients && duration > 0; i++) {
      LoadClient client = new LoadClient(http, server, key, dice * 1_000_003 + i);
      threads.add(Thread.ofVirtual().start(() -> client.run(end, tally)));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    return 1e-9 * (System.nanoTime() - start);
  }
}
