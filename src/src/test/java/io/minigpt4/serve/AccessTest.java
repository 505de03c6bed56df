package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import io.minigpt4.model.Goldens;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Keys, origins, hosts of pictures, and the page's files. */
class AccessTest {
  private static final Duration MINUTE = Duration.ofMinutes(1);

  @Test
  void aKeyOpensTheApi() {
    try (TestServer server =
        new TestServer(1, 1, settings -> TestServer.withKey(settings, "s3cret"))) {
      assertThat(server.get("/").statusCode()).isEqualTo(200);
      assertThat(server.get("/health").body()).isEqualTo("{\"status\":\"ok\"}");
      for (String path : List.of("/v1/models", "/metrics", "/v1/nothing")) {
        HttpResponse<String> response = server.get(path);
        assertThat(response.statusCode()).as(path).isEqualTo(401);
        assertThat(response.headers().firstValue("WWW-Authenticate")).hasValue("Bearer");
        assertThat(response.body()).contains("invalid_api_key").doesNotContain("s3cret");
      }
      for (String wrong : List.of("Bearer", "Bearer s3cre", "Bearer s3crett", "Basic s3cret")) {
        HttpRequest request = server.request("/v1/models").header("Authorization", wrong).build();
        assertThat(server.send(request).statusCode()).as(wrong).isEqualTo(401);
      }
      HttpRequest right =
          server.request("/v1/models").header("Authorization", "bearer s3cret").build();
      assertThat(server.send(right).statusCode()).isEqualTo(200);
      HttpRequest health =
          server.request("/health").header("Authorization", "Bearer s3cret").build();
      assertThat(server.send(health).body()).contains("\"device\"");
    }
  }

  @Test
  void listedOriginsMayUseTheApi() {
    String origin = "https://page.example";
    try (TestServer server =
        new TestServer(
            1, 1, settings -> TestServer.with(settings, List.of(), List.of(origin), MINUTE))) {
      HttpRequest preflight =
          server
              .request("/v1/chat/completions")
              .header("Origin", origin)
              .header("Access-Control-Request-Method", "POST")
              .method("OPTIONS", HttpRequest.BodyPublishers.noBody())
              .build();
      HttpResponse<String> allowed = server.send(preflight);
      assertThat(allowed.statusCode()).isEqualTo(204);
      assertThat(allowed.headers().firstValue("Access-Control-Allow-Origin")).hasValue(origin);
      assertThat(allowed.headers().firstValue("Access-Control-Allow-Headers").orElse(""))
          .contains("Authorization", "Content-Type");
      HttpRequest own = server.request("/health").header("Origin", server.server.url()).build();
      assertThat(server.send(own).statusCode()).isEqualTo(200);
    }
  }

  @Test
  void openServersNeedAKey() {
    ServerSettings local = ServerSettings.local(0, 0);
    assertThatThrownBy(
            () ->
                new ServerSettings(
                    "0.0.0.0", 0, null, List.of(), List.of(), 0, local.timeLimit(), 1))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("--api-key");
    assertThat(new ServerSettings("0.0.0.0", 0, "k", List.of(), List.of(), 0, local.timeLimit(), 1))
        .isNotNull();
  }

  @Test
  void saysWhyItCannotListen() throws IOException {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      assertThatThrownBy(() -> Server.checkAddress(ServerSettings.local(taken.getLocalPort(), 0)))
          .isInstanceOf(UserException.class)
          .hasMessageContainingAll("--port", Integer.toString(taken.getLocalPort()));
    }
    Server.checkAddress(ServerSettings.local(0, 0));
    // TEST-NET-1 (RFC 5737) is nobody's address.
    assertThatThrownBy(() -> Server.checkAddress(settings("192.0.2.7", "k", List.of())))
        .isInstanceOf(UserException.class)
        .hasMessageContainingAll("192.0.2.7", "--host");
    assertThatThrownBy(() -> settings(" ", null, List.of()))
        .isInstanceOf(UserException.class)
        .hasMessageContaining("empty");
    for (String host : List.of("http://x", "x:0", "x:65536", "x:y", "")) {
      assertThatThrownBy(() -> settings("127.0.0.1", null, List.of(host)))
          .as(host)
          .isInstanceOf(UserException.class)
          .hasMessageContaining("HOST:PORT");
    }
  }

  private static ServerSettings settings(
      String host, @Nullable String key, List<String> imageHosts) {
    return new ServerSettings(host, 0, key, imageHosts, List.of(), 0, MINUTE, 1);
  }

  @Test
  void fetchesPicturesFromListedHostsOnly() throws IOException {
    byte[] picture = Files.readAllBytes(Goldens.documented("scene.png"));
    HttpServer host =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    host.createContext(
        "/",
        exchange -> {
          String path = exchange.getRequestURI().getPath();
          if (path.equals("/moved")) {
            exchange.getResponseHeaders().set("Location", "/scene.png");
            exchange.sendResponseHeaders(302, -1);
          } else if (path.equals("/scene.png")) {
            exchange.sendResponseHeaders(200, picture.length);
            exchange.getResponseBody().write(picture);
          } else if (path.equals("/endless")) {
            exchange.sendResponseHeaders(200, 0);
            for (int i = 0; i < 30; i++) {
              exchange.getResponseBody().write(new byte[1 << 20]);
            }
          } else {
            exchange.sendResponseHeaders(404, -1);
          }
          exchange.close();
        });
    host.start();
    int port = host.getAddress().getPort();
    String base = "http://127.0.0.1:" + port;
    List<String> listed = List.of("127.0.0.1:" + port, "localhost:" + port);
    try (TestServer server =
        new TestServer(1, 4, settings -> TestServer.with(settings, listed, List.of(), MINUTE))) {
      String question = "Describe this image in detail.";
      assertThat(server.complete(TestServer.body(question, base + "/scene.png", "")).body())
          .contains("large yellow circle");
      for (String bad :
          List.of(
              base + "/moved",
              base + "/missing",
              base + "/endless",
              "http://127.0.0.1:1/scene.png",
              "http://user@127.0.0.1:" + port + "/scene.png",
              // A name is not an address: what it resolves to must be public.
              "http://localhost:" + port + "/scene.png")) {
        HttpResponse<String> response = server.complete(TestServer.body(question, bad, ""));
        assertThat(response.statusCode()).as(bad).isEqualTo(400);
        assertThat(response.body()).contains("invalid_image_url");
      }
    } finally {
      host.stop(0);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.8",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001::1",
        "ff02::1"
      })
  void inwardAddressesAreNotPublic(String address) throws IOException {
    assertThat(RemoteImages.isPublic(InetAddress.getByName(address))).isFalse();
  }

  @ParameterizedTest
  @ValueSource(strings = {"1.1.1.1", "93.184.216.34", "100.128.0.1", "2606:4700::1111"})
  void outwardAddressesArePublic(String address) throws IOException {
    assertThat(RemoteImages.isPublic(InetAddress.getByName(address))).isTrue();
  }

  @Test
  void sendsThePage() {
    try (TestServer server = new TestServer(1, 1, settings -> settings)) {
      HttpResponse<String> page = server.get("/");
      assertThat(page.statusCode()).isEqualTo(200);
      assertThat(page.body()).startsWith("<!doctype html>");
      assertThat(page.headers().firstValue("Content-Type")).hasValue("text/html; charset=utf-8");
      assertThat(page.headers().firstValue("X-Content-Type-Options")).hasValue("nosniff");
      assertThat(page.headers().firstValue("Content-Security-Policy").orElse(""))
          .contains("default-src 'self'", "frame-ancestors 'none'")
          .doesNotContain("unsafe");
      String tag = page.headers().firstValue("ETag").orElseThrow();
      HttpResponse<String> again =
          server.send(server.request("/").header("If-None-Match", tag).build());
      assertThat(again.statusCode()).isEqualTo(304);
      assertThat(again.body()).isEmpty();
      HttpResponse<String> head =
          server.send(
              server.request("/").method("HEAD", HttpRequest.BodyPublishers.noBody()).build());
      assertThat(head.headers().firstValue("Content-Length"))
          .isEqualTo(page.headers().firstValue("Content-Length"));
      assertThat(server.get("/app.js").headers().firstValue("Content-Type").orElse(""))
          .startsWith("text/javascript");
    }
  }
}
