package io.minigpt4.bench;

import io.minigpt4.config.JsonFile;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What a server says about itself. */
final class ServerMetrics {
  /**
   * Values of {@code /metrics} at one moment.
   *
   * @param residentBytes memory of the process
   * @param computed rows of prompts that were computed so far
   * @param cached rows of prompts that were known
   * @param imagesEncoded pictures that were encoded so far
   */
  record Values(double residentBytes, double computed, double cached, double imagesEncoded) {
    /** Which part of the rows since then was cached. */
    double cachedShare(Values then) {
      double found = cached - then.cached;
      double all = found + computed - then.computed;
      return all == 0 ? 0 : found / all;
    }
  }

  private final HttpClient http;
  private final URI server;
  private final @Nullable String key;

  ServerMetrics(HttpClient http, URI server, @Nullable String key) {
    this.http = http;
    this.server = server;
    this.key = key;
  }

  private String get(String path) throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(server.resolve(path)).timeout(Duration.ofSeconds(20));
    if (key != null) {
      request.header("Authorization", "Bearer " + key);
    }
    HttpResponse<String> response = send(request.build());
    if (response.statusCode() != 200) {
      throw new UserException(
          server + path + " answers with status " + response.statusCode() + ", not 200");
    }
    return response.body();
  }

  private HttpResponse<String> send(HttpRequest request) throws IOException, InterruptedException {
    try {
      return http.send(request, HttpResponse.BodyHandlers.ofString());
    } catch (ConnectException e) {
      throw new UserException(
          "nothing listens at " + server + "; start a server, or omit --url", e);
    }
  }

  /** Model and device. */
  String model() throws IOException, InterruptedException {
    var health = JsonFile.parse("/health", get("/health"));
    return health.text("model", "?") + " on " + health.text("device", "?");
  }

  Values read() throws IOException, InterruptedException {
    Map<String, Double> values = new HashMap<>();
    for (String line : get("/metrics").split("\n", -1)) {
      int space = line.lastIndexOf(' ');
      if (space > 0 && !line.startsWith("#")) {
        values.put(line.substring(0, space), Double.parseDouble(line.substring(space + 1)));
      }
    }
    return new Values(
        values.getOrDefault("process_resident_memory_bytes", 0.0),
        values.getOrDefault("minigpt4_prompt_tokens_computed_total", 0.0),
        values.getOrDefault("minigpt4_prompt_tokens_cached_total", 0.0),
        values.getOrDefault("minigpt4_images_encoded_total", 0.0));
  }
}
