package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.core.JsonFactory;
import io.minigpt4.chat.ChatEngine;
import io.minigpt4.chat.EngineLimits;
import io.minigpt4.chat.EngineStatus;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import io.minigpt4.cpu.CpuOps;
import io.minigpt4.model.Goldens;
import io.minigpt4.model.LoadListener;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.model.ModelLoader;
import io.minigpt4.model.ModelSource;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.function.Function;

/** A server with the built-in model, and what talks to it. */
final class TestServer implements AutoCloseable {
  /** The scene of the documentation as a data: URI. */
  static final String SCENE = dataUri("scene.png");

  private final CpuOps ops = CpuOps.createScalar(2);
  final MiniGpt4 model =
      new ModelLoader(ops, LoadListener.NONE).load(new ModelSource.BuiltIn(), null);
  final ChatEngine engine;
  final Server server;
  final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  TestServer(int maxRunning, int maxQueued, Function<ServerSettings, ServerSettings> change) {
    engine = ChatEngine.start(model, EngineLimits.of(model, maxRunning, maxQueued));
    ServerSettings settings = change.apply(ServerSettings.local(0, 0));
    server = Server.start(settings, engine, "demo", model.tokenizer());
  }

  TestServer() {
    this(4, 8, settings -> settings);
  }

  static String dataUri(String picture) {
    try {
      byte[] file = Files.readAllBytes(Goldens.documented(picture));
      return "data:image/png;base64," + Base64.getEncoder().encodeToString(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The same settings with a key. */
  static ServerSettings withKey(ServerSettings s, String key) {
    return new ServerSettings(
        s.host(),
        s.port(),
        key,
        s.imageHosts(),
        s.origins(),
        s.defaultTemperature(),
        s.timeLimit(),
        s.maxConnections());
  }

  /** The same settings with other hosts, origins and time. */
  static ServerSettings with(
      ServerSettings s, List<String> imageHosts, List<String> origins, Duration timeLimit) {
    return new ServerSettings(
        s.host(),
        s.port(),
        s.apiKey(),
        imageHosts,
        origins,
        s.defaultTemperature(),
        timeLimit,
        s.maxConnections());
  }

  /** The same settings with another number of connections in use. */
  static ServerSettings withConnections(ServerSettings s, int most) {
    return new ServerSettings(
        s.host(),
        s.port(),
        s.apiKey(),
        s.imageHosts(),
        s.origins(),
        s.defaultTemperature(),
        s.timeLimit(),
        most);
  }

  URI uri(String path) {
    return URI.create(server.url() + path);
  }

  HttpRequest.Builder request(String path) {
    return HttpRequest.newBuilder(uri(path)).timeout(Duration.ofSeconds(60));
  }

  HttpResponse<String> get(String path) {
    return send(request(path).build());
  }

  HttpResponse<String> complete(String json) {
    return send(completion(json).build());
  }

  HttpRequest.Builder completion(String json) {
    return request("/v1/chat/completions")
        .header("Content-Type", "application/json")
        .POST(HttpRequest.BodyPublishers.ofString(json));
  }

  HttpResponse<String> send(HttpRequest request) {
    try {
      return client.send(request, HttpResponse.BodyHandlers.ofString());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A request's body: a question about a picture, or about none, and more fields. */
  static String body(String question, String imageUrl, String moreFields) {
    String image =
        imageUrl.isEmpty()
            ? ""
            : ",{\"type\":\"image_url\",\"image_url\":{\"url\":" + quoted(imageUrl) + "}}";
    return "{\"model\":\"demo\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        + "\"text\":"
        + quoted(question)
        + "}"
        + image
        + "]}]"
        + moreFields
        + "}";
  }

  static String quoted(String text) {
    StringWriter out = new StringWriter();
    try (var json = new JsonFactory().createGenerator(out)) {
      json.writeString(text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toString();
  }

  static ConfigNode json(HttpResponse<String> response) {
    return JsonFile.parse("answer", response.body());
  }

  /** The events of a stream but its last, each a JSON object. */
  static List<ConfigNode> events(HttpResponse<String> response) {
    assertThat(response.body()).endsWith("data: [DONE]\n\n");
    List<ConfigNode> events = new ArrayList<>();
    for (String event : response.body().split("\n\n", -1)) {
      if (event.startsWith("data: {")) {
        events.add(JsonFile.parse("event", event.substring(6)));
      }
    }
    return events;
  }

  /** Waits until nothing is computed, and returns what the engine says then. */
  EngineStatus idle() {
    long end = System.nanoTime() + 30_000_000_000L;
    EngineStatus status = engine.status();
    while ((status.running() > 0 || status.queued() > 0) && System.nanoTime() < end) {
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
      status = engine.status();
    }
    assertThat(status.running() + status.queued()).isZero();
    return status;
  }

  @Override
  public void close() {
    client.close();
    server.close();
    engine.close();
    model.close();
    ops.close();
  }
}
