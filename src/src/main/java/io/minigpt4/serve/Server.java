package io.minigpt4.serve;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.DeviceFailedException;
import io.minigpt4.chat.EngineStatus;
import io.minigpt4.chat.QueueFullException;
import io.minigpt4.tensor.UserException;
import io.minigpt4.text.Tokenizer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;

/**
 * Answers HTTP: {@code /v1/chat/completions} and {@code /v1/models} in OpenAI's form, {@code
 * /health}, {@code /metrics}, and the page. Each request has a virtual thread; the engine computes.
 */
public final class Server implements AutoCloseable {
  private static final System.Logger LOG = System.getLogger(Server.class.getName());
  private static final Duration WRITE_LIMIT = Duration.ofSeconds(20);
  private static final String COMPLETIONS = "/v1/chat/completions";
  private static final String MODELS = "/v1/models";

  /** How long answers that are cancelled at the end may take to say so. */
  private static final Duration LAST_WORDS = Duration.ofSeconds(2);

  private static final Duration HEAD_LIMIT = Duration.ofSeconds(10);

  /** Connections that the system holds for the server until it takes them. */
  private static final int BACKLOG = 1024;

  /**
   * The JDK's server takes these from system properties, and once only. Requests are limited by
   * {@link Arrivals}; connections that say nothing cost little, so that there may be many, more
   * than one client can open.
   */
  private static final Map<String, String> LIMITS =
      Map.of(
          "jdk.httpserver.maxConnections", Integer.toString(OpenFiles.forConnections()),
          "sun.net.httpserver.nodelay", "true",
          "sun.net.httpserver.maxReqTime", "60",
          "sun.net.httpserver.idleInterval", "90",
          "sun.net.httpserver.maxIdleConnections", "200",
          "sun.net.httpserver.maxReqHeaderSize", "32768",
          "sun.net.httpserver.maxReqHeaders", "100");

  private final HttpServer http;
  private final ServerSettings settings;
  private final ChatEngine engine;
  private final String model;
  private final long created = System.currentTimeMillis() / 1000;
  private final Access access;
  private final Metrics metrics = new Metrics();
  private final StaticFiles files = new StaticFiles();
  private final Alarms alarms = new Alarms();
  private final WriteGuard guard = new WriteGuard(alarms, WRITE_LIMIT);
  private final Arrivals arrivals;
  private final ChatCompletions completions;
  private volatile boolean closing;

  private Server(
      HttpServer http,
      ServerSettings settings,
      ChatEngine engine,
      String model,
      Tokenizer tokenizer) {
    this.http = http;
    this.settings = settings;
    this.engine = engine;
    this.model = model;
    this.access = new Access(settings);
    this.arrivals = new Arrivals(alarms, settings.maxConnections(), HEAD_LIMIT);
    this.completions = new ChatCompletions(engine, model, tokenizer, settings, metrics);
  }

  /**
   * Starts a server.
   *
   * @param engine answers; to be closed after the server
   * @param model what clients call the model
   * @param tokenizer the model's
   * @throws UserException if it cannot listen at that address, or settings are not right
   */
  public static Server start(
      ServerSettings settings, ChatEngine engine, String model, Tokenizer tokenizer) {
    LIMITS.forEach(Server::setLimit);
    HttpServer http;
    try {
      http = HttpServer.create(new InetSocketAddress(settings.address(), settings.port()), BACKLOG);
    } catch (IOException e) {
      throw cannotListen(settings, e);
    }
    Server server = new Server(http, settings, engine, model, tokenizer);
    http.setExecutor(server.arrivals);
    http.createContext("/", server::handle);
    http.start();
    return server;
  }

  /**
   * Whether a server could listen at an address, asked before a model is loaded for it.
   *
   * @throws UserException if not
   */
  public static void checkAddress(ServerSettings settings) {
    try (ServerSocket socket = new ServerSocket()) {
      socket.bind(new InetSocketAddress(settings.address(), settings.port()));
    } catch (IOException e) {
      throw cannotListen(settings, e);
    }
  }

  private static UserException cannotListen(ServerSettings settings, IOException e) {
    return new UserException(
        String.format(
            "cannot listen at %s, port %d (%s); give another --port (0 takes a free one), or a"
                + " --host of this machine's",
            settings.host(), settings.port(), UserException.reason(e)),
        e);
  }

  private static void setLimit(String property, String value) {
    if (System.getProperty(property) == null) {
      System.setProperty(property, value);
    }
  }

  /** The port that it listens at. */
  public int port() {
    return http.getAddress().getPort();
  }

  /** What to type into a browser on this machine. */
  public String url() {
    String host = settings.host();
    return "http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + port();
  }

  /** Takes no new questions, lets what runs go on for a while, and ends. */
  public void close(Duration grace) {
    closing = true;
    try {
      if (!arrivals.awaitAnswers(grace)) {
        completions.cancelAll();
        arrivals.awaitAnswers(LAST_WORDS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt(); // end at once
    }
    completions.cancelAll();
    http.stop(0);
    arrivals.interruptAll();
    alarms.close();
  }

  @Override
  public void close() {
    close(Duration.ZERO);
  }

  // ---- requests

  /**
   * Answers a request.
   *
   * @throws IOException if the client has gone, or the server goes. The JDK's server then closes
   *     the connection and forgets it; of one that is closed here it never would.
   */
  private void handle(HttpExchange exchange) throws IOException {
    Call call = new Call(exchange, guard, Arrivals.current());
    try {
      call.begin();
      setHeaders(call.replyHeaders());
      route(call);
    } catch (InterruptedException e) {
      throw new IOException("the server ends", e);
    } catch (RuntimeException | Error e) {
      sorry(call, exception(e));
      if (e instanceof Error error && !(e instanceof OutOfMemoryError)) {
        throw error;
      }
    } finally {
      metrics.request(routeName(call.path()), call.status());
    }
  }

  private static void setHeaders(Headers headers) {
    headers.set("X-Content-Type-Options", "nosniff");
    headers.set("Referrer-Policy", "no-referrer");
    headers.set(
        "Content-Security-Policy",
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none';"
            + " form-action 'none'; frame-ancestors 'none'");
    headers.set("Cache-Control", "no-store");
  }

  private void route(Call call) throws IOException, InterruptedException {
    access.checkHost(call);
    String path = call.path();
    boolean isApi = path.startsWith("/v1/") || path.equals("/health") || path.equals("/metrics");
    if (!isApi) {
      allow(call, "GET", "HEAD");
      files.send(call);
      return;
    }
    access.checkOrigin(call);
    if (call.method().equals("OPTIONS") && call.header("Origin") != null) {
      call.replyHeaders().set("Access-Control-Allow-Methods", "GET, POST");
      call.replyHeaders().set("Access-Control-Allow-Headers", "Authorization, Content-Type");
      call.replyHeaders().set("Access-Control-Max-Age", "600");
      call.empty(204);
      return;
    }
    if (path.equals("/health")) {
      allow(call, "GET", "HEAD");
      health(call);
      return;
    }
    if (!access.hasKey(call)) {
      call.replyHeaders().set("WWW-Authenticate", "Bearer");
      throw ApiException.unauthorized();
    }
    keyed(call, path);
  }

  private void keyed(Call call, String path) throws IOException, InterruptedException {
    if (path.equals(COMPLETIONS)) {
      allow(call, "POST");
      if (closing) {
        throw ApiException.busy(503, "shutting_down", "the server is shutting down", 10);
      }
      completions.answer(call);
      return;
    }
    boolean isModel = path.equals(MODELS) || path.startsWith(MODELS + "/");
    if (!isModel && !path.equals("/metrics")) {
      throw ApiException.refused(404, null, "not_found", "there is nothing at this path");
    }
    allow(call, "GET", "HEAD");
    if (path.equals("/metrics")) {
      byte[] text = metrics.text(engine.status()).getBytes(StandardCharsets.UTF_8);
      call.send(200, "text/plain; version=0.0.4; charset=utf-8", text);
    } else if (path.equals(MODELS)) {
      models(call);
    } else {
      model(call, path.substring(MODELS.length() + 1));
    }
  }

  private static void allow(Call call, String... methods) {
    for (String method : methods) {
      if (method.equals(call.method())) {
        return;
      }
    }
    String allowed = String.join(", ", methods);
    call.replyHeaders().set("Allow", allowed);
    throw ApiException.refused(
        405, null, "method_not_allowed", "this path takes " + allowed + " only");
  }

  /** The status for everybody; the rest for those who have the key. */
  private void health(Call call) throws IOException {
    EngineStatus status = engine.status();
    boolean failed = status.failure() != null;
    String word = failed ? "failed" : closing ? "closing" : "ok";
    boolean all = access.hasKey(call);
    byte[] json =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("status", word);
              if (all) {
                out.writeStringField("model", model);
                out.writeStringField("device", status.device());
                out.writeNumberField("running", status.running());
                out.writeNumberField("queued", status.queued());
              }
              out.writeEndObject();
            });
    call.json(failed || closing ? 503 : 200, json);
  }

  private void models(Call call) throws IOException {
    call.json(
        200,
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("object", "list");
              out.writeArrayFieldStart("data");
              modelObject().to(out);
              out.writeEndArray();
              out.writeEndObject();
            }));
  }

  private void model(Call call, String id) throws IOException {
    if (!id.equals(model)) {
      throw ApiException.refused(
          404, "model", "model_not_found", "this server has one model, '" + model + "'");
    }
    call.json(200, Json.bytes(modelObject()));
  }

  private Json.Writing modelObject() {
    return out -> {
      out.writeStartObject();
      out.writeStringField("id", model);
      out.writeStringField("object", "model");
      out.writeNumberField("created", created);
      out.writeStringField("owned_by", "minigpt4");
      out.writeEndObject();
    };
  }

  private String routeName(String path) {
    if (path.startsWith(MODELS)) {
      return MODELS;
    }
    return switch (path) {
      case COMPLETIONS, "/health", "/metrics" -> path;
      default -> files.has(path) ? "page" : "other";
    };
  }

  // ---- errors

  /** What a client is told when the device was lost. */
  static ApiException deviceFailed() {
    return ApiException.busy(
        503, "device_failed", "the device failed; the server must be started again", 60);
  }

  private static ApiException exception(Throwable e) {
    return switch (e) {
      case ApiException api -> api;
      case UserException user -> ApiException.badRequest(null, String.valueOf(user.getMessage()));
      case QueueFullException full ->
          ApiException.busy(
              429, "queue_full", String.valueOf(full.getMessage()), full.retryAfterSeconds());
      case DeviceFailedException failed -> {
        LOG.log(System.Logger.Level.ERROR, "the device failed", failed);
        yield deviceFailed();
      }
      default -> {
        LOG.log(System.Logger.Level.ERROR, "a request failed", e);
        yield ApiException.fault();
      }
    };
  }

  private static void sorry(Call call, ApiException e) throws IOException {
    if (!call.hasBegun()) {
      if (e.retryAfter() > 0) {
        call.replyHeaders().set("Retry-After", Integer.toString(e.retryAfter()));
      }
      call.refuse(e.status(), Json.error(e));
    } else if (call.isEventStream()) {
      call.piece(CompletionWriter.error(e));
      call.end();
    } else {
      throw new IOException("an answer broke off", e); // so that no client takes it for a whole
    }
  }
}
