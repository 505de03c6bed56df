package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.chat.EngineStatus;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Clients that go away, do not read or come in crowds, with the built-in model. */
@Timeout(120)
class ClientsThatLeaveTest {
  /** Says its first word again and again, because of what the penalty rewards. */
  private static final String LONG =
      ",\"max_tokens\":900,\"min_tokens\":900,\"repetition_penalty\":0.01,\"temperature\":0";

  private static Socket ask(TestServer server, String body) throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port());
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    String head =
        "POST /v1/chat/completions HTTP/1.1\r\n"
            + "Host: localhost\r\n"
            + "Content-Type: application/json\r\n"
            + "Content-Length: "
            + bytes.length
            + "\r\n\r\n";
    socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
    socket.getOutputStream().write(bytes);
    return socket;
  }

  private static void awaitRunning(TestServer server, int count) throws InterruptedException {
    while (server.engine.status().running() < count) {
      Thread.sleep(5);
    }
  }

  /** So many clients that each ask for so many long answers and go away. */
  private static void leave(TestServer server, int clients, int answers, String fields)
      throws Exception {
    long before = server.engine.status().tokensGenerated();
    List<Socket> sockets = new ArrayList<>();
    for (int i = 0; i < clients; i++) {
      sockets.add(ask(server, TestServer.body("Go on", "", LONG + fields)));
    }
    while (server.engine.status().running() + server.engine.status().queued()
        < clients * answers / 2) {
      Thread.sleep(1);
    }
    for (Socket socket : sockets) {
      socket.close();
    }
    EngineStatus after = server.idle();
    assertThat(after.tokensGenerated() - before).as(fields).isLessThan(900L * clients * answers);
  }

  @Test
  void aClientThatGoesAwayFreesItsPlace() throws Exception {
    try (TestServer server = new TestServer(1, 200, settings -> settings)) {
      leave(server, 1, 1, ",\"stream\":true");
      // A whole answer's client is found out by the blank after five seconds, so it takes longer.
      leave(server, 8, 16, ",\"stream\":false,\"n\":16");
      while (!server.get("/metrics").body().contains("minigpt4_answers_abandoned_total 9")) {
        Thread.sleep(10); // counted a moment after the place is free
      }
    }
  }

  @Test
  void aFullQueueSaysWhenToComeBack() throws Exception {
    try (TestServer server = new TestServer(1, 1, settings -> settings)) {
      List<Socket> sockets = new ArrayList<>();
      sockets.add(ask(server, TestServer.body("Go on", "", LONG + ",\"stream\":true")));
      awaitRunning(server, 1);
      sockets.add(ask(server, TestServer.body("Go on", "", LONG + ",\"stream\":true")));
      while (server.engine.status().queued() < 1) {
        Thread.sleep(5);
      }
      HttpResponse<String> refused = server.complete(TestServer.body("Hello", "", ""));
      assertThat(refused.statusCode()).isEqualTo(429);
      assertThat(Integer.parseInt(refused.headers().firstValue("Retry-After").orElseThrow()))
          .isBetween(1, 60);
      assertThat(refused.body()).contains("rate_limit_error", "queue_full");
      for (Socket socket : sockets) {
        socket.close();
      }
      server.idle();
      assertThat(server.complete(TestServer.body("Hello", "", "")).statusCode()).isEqualTo(200);
    }
  }

  @Test
  void aTimeLimitEndsAnswersAsTheyAre() {
    try (TestServer server =
        new TestServer(
            16,
            0,
            settings -> TestServer.with(settings, List.of(), List.of(), Duration.ofSeconds(1)))) {
      HttpResponse<String> response =
          server.complete(TestServer.body("Go on", "", LONG + ",\"n\":16"));
      assertThat(response.body()).contains("\"finish_reason\":\"length\"");
      assertThat(server.idle().tokensGenerated()).isBetween(16L, 16L * 900 - 1);
    }
  }

  @Test
  void endingLetsAShortAnswerFinishAndCutsALongOneWithAnError() throws Exception {
    TestServer server = new TestServer(1, 2, settings -> settings);
    try (Socket socket = ask(server, TestServer.body("Go on", "", LONG + ",\"stream\":true"))) {
      awaitRunning(server, 1);
      Thread closer = Thread.ofVirtual().start(() -> server.server.close(Duration.ofMillis(200)));
      BufferedReader in =
          new BufferedReader(
              new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
      StringBuilder all = new StringBuilder();
      for (String line = in.readLine(); line != null; line = in.readLine()) {
        all.append(line).append('\n');
      }
      assertThat(all.toString()).contains("chat.completion.chunk", "\"code\":\"shutting_down\"");
      closer.join();
    } finally {
      server.close();
    }
  }

  @Test
  void aWriteThatNobodyReadsIsEnded() throws Exception {
    try (Alarms alarms = new Alarms();
        ServerSocket listener = new ServerSocket(0);
        SocketChannel to =
            SocketChannel.open(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), listener.getLocalPort()))) {
      WriteGuard guard = new WriteGuard(alarms, Duration.ofMillis(300));
      CompletableFuture<String> outcome = new CompletableFuture<>();
      Thread.ofVirtual()
          .start(
              () -> {
                try {
                  while (true) {
                    guard.run(() -> to.write(ByteBuffer.allocate(1 << 16)));
                  }
                } catch (IOException e) {
                  outcome.complete(String.valueOf(e.getMessage()));
                }
              });
      assertThat(outcome.join()).isEqualTo("the client does not read");
      assertThat(to.isOpen()).isFalse();
    }
  }

  @Test
  void malformedHttpDoesNoHarm() throws Exception {
    try (TestServer server = new TestServer(1, 2, settings -> settings)) {
      for (String rubbish :
          List.of(
              "\u0000\u0001\u0002\r\n\r\n",
              "GET\r\n\r\n",
              "GET / HTTP/9.9\r\n\r\n",
              "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
              "POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
              "POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
              "GET / HTTP/1.1\r\n" + "X: y\r\n".repeat(1000) + "\r\n",
              "GET /" + "a".repeat(100_000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")) {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port())) {
          socket.setSoTimeout(20_000);
          socket.getOutputStream().write(rubbish.getBytes(StandardCharsets.ISO_8859_1));
          socket.shutdownOutput();
          InputStream in = socket.getInputStream();
          assertThat(new String(in.readAllBytes(), StandardCharsets.ISO_8859_1))
              .doesNotContain("HTTP/1.1 200", "\tat ");
        } catch (IOException e) {
          // It may cut such a connection.
        }
      }
      assertThat(server.get("/health").statusCode()).isEqualTo(200);
    }
  }
}
