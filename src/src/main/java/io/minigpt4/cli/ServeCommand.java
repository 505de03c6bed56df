package io.minigpt4.cli;

import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.ChatListener;
import io.minigpt4.chat.ChatRequest;
import io.minigpt4.chat.ChatRequest.Turn;
import io.minigpt4.chat.EngineLimits;
import io.minigpt4.generate.Generation;
import io.minigpt4.generate.GenerationConfig;
import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelSource;
import io.minigpt4.serve.Server;
import io.minigpt4.serve.ServerSettings;
import io.minigpt4.tensor.UserException;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.jline.utils.Signals;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code serve}: the web page and the API, for many users at once. */
@Command(
    name = "serve",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    description = "Opens a web page to talk about pictures, and an API like OpenAI's.",
    footer = {
      "",
      "Ctrl-C lets answers that run go on for five seconds, then ends; pressed again, at once.",
      "",
      "Example: minigpt4 serve --port 8080"
    })
final class ServeCommand implements Callable<Integer> {
  /** The environment's variable with the key, which does not show in lists of processes. */
  static final String KEY_VARIABLE = "MINIGPT4_API_KEY";

  private static final Duration GRACE = Duration.ofSeconds(5);
  private static final Duration MOST_WARM_UP = Duration.ofSeconds(10);

  /** Pixels of the picture that the model is warmed up with. */
  private static final int SIDE = 64;

  @Option(
      names = "--host",
      paramLabel = "HOST",
      defaultValue = "127.0.0.1",
      description =
          "Name or address to listen at; one that others can reach needs a key. Default:"
              + " ${DEFAULT-VALUE}.")
  private String host = "";

  @Option(
      names = "--port",
      paramLabel = "N",
      defaultValue = "8080",
      description = "Port to listen at; 0 takes a free one. Default: ${DEFAULT-VALUE}.")
  private int port;

  @Option(
      names = "--api-key",
      paramLabel = "KEY",
      description =
          "What clients must send. Better set " + KEY_VARIABLE + ", which other users cannot see.")
  private @Nullable String apiKey;

  @Option(
      names = "--allow-image-host",
      paramLabel = "HOST[:PORT]",
      description = "Fetch pictures from this host; may be repeated. Default: from none.")
  private List<String> imageHosts = new ArrayList<>();

  @Option(
      names = "--allow-origin",
      paramLabel = "ORIGIN",
      description =
          "Let web pages of this origin (as https://example.org) use the API; may be repeated.")
  private List<String> origins = new ArrayList<>();

  @Option(
      names = "--max-running",
      paramLabel = "N",
      defaultValue = "16",
      description = "Answers computed together; a beam counts as one. Default: ${DEFAULT-VALUE}.")
  private int maxRunning;

  @Option(
      names = "--max-queued",
      paramLabel = "N",
      defaultValue = "128",
      description = "Answers that may wait; more are refused with 429. Default: ${DEFAULT-VALUE}.")
  private int maxQueued;

  @Option(
      names = "--max-connections",
      paramLabel = "N",
      defaultValue = "" + ServerSettings.DEFAULT_CONNECTIONS,
      description =
          "Connections at a time that send a request or get an answer. Default:"
              + " ${DEFAULT-VALUE}.")
  private int maxConnections;

  @Option(
      names = "--deadline",
      paramLabel = "SECONDS",
      defaultValue = "300",
      description =
          "After so long an answer ends as it is, waiting included. Default: ${DEFAULT-VALUE}.")
  private int deadline;

  @Spec private CommandSpec spec = CommandSpec.create();
  @Mixin private ModelOptions modelOptions = new ModelOptions();

  @Override
  public Integer call() throws InterruptedException {
    ServerSettings settings = settings(System.getenv());
    Server.checkAddress(settings);
    ModelSource source = modelOptions.source();
    Devices devices = modelOptions.openToServe();
    try (devices;
        MiniGpt4 model = modelOptions.load(devices, source);
        ChatEngine engine =
            ChatEngine.start(model, EngineLimits.of(model, maxRunning, maxQueued))) {
      Server server = Server.start(settings, engine, model.name(), model.tokenizer());
      warmUp(engine);
      serve(server, model, devices);
    }
    return Commands.DONE;
  }

  /** What the options say, checked before anything is loaded. */
  ServerSettings settings(Map<String, String> environment) {
    if (maxRunning < 1 || maxRunning > 1024) {
      throw new UserException("--max-running must be between 1 and 1024, not " + maxRunning);
    }
    if (maxQueued < 0) {
      throw new UserException("--max-queued must be at least 0, not " + maxQueued);
    }
    String variable = environment.get(KEY_VARIABLE);
    String key = apiKey != null ? apiKey : variable == null || variable.isEmpty() ? null : variable;
    return new ServerSettings(
        host,
        port,
        key,
        imageHosts,
        origins,
        modelOptions.isBuiltIn() ? 0 : 1,
        Duration.ofSeconds(deadline),
        maxConnections);
  }

  /**
   * Answers once for nobody, so that the first user need not wait until code is compiled. Users who
   * are quicker are answered beside it.
   */
  private static void warmUp(ChatEngine engine) {
    byte[] grey = new byte[3 * SIDE * SIDE];
    Arrays.fill(grey, (byte) 128);
    Turn question = Turn.human("Describe this image.", new Picture(SIDE, SIDE, grey));
    GenerationConfig config = GenerationConfig.builder().doSample(false).maxNewTokens(40).build();
    ChatListener nobody =
        new ChatListener() {
          @Override
          public void finished(Generation generation) {}

          @Override
          public void failed(RuntimeException reason) {
            // Whoever asks next is told.
          }
        };
    try {
      engine.submit(new ChatRequest(null, List.of(question), config, 0, MOST_WARM_UP), nobody);
    } catch (UserException e) {
      // A model with so short a context has no need of it.
    }
  }

  private void serve(Server server, MiniGpt4 model, Devices devices) throws InterruptedException {
    CountDownLatch ended = new CountDownLatch(1);
    Runnable end =
        () -> {
          if (ended.getCount() == 0) {
            Runtime.getRuntime().halt(Interrupts.EXIT_CODE);
          }
          ended.countDown();
        };
    Signals.register("INT", end);
    Signals.register("TERM", end);
    PrintWriter out = spec.commandLine().getOut();
    out.printf(
        "%s on %s: %s (Ctrl-C ends)%n",
        Printable.line(model.name()), devices.description(), server.url());
    out.flush();
    ended.await();
    PrintWriter err = spec.commandLine().getErr();
    err.println("minigpt4: ending");
    err.flush();
    server.close(GRACE);
  }
}
