package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Clients that send slowly or break off, in crowds. */
@Timeout(120)
class SlowClientsTest {
  private static final String HALF_A_HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: loc";
  private static final String HALF_A_BODY =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
          + "Content-Length: 33000000\r\n\r\n{";
  private static final Duration LONG = Duration.ofMinutes(1);

  private static Socket send(TestServer server, String text) throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port());
    socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
    return socket;
  }

  private static void answers(TestServer server) {
    assertThat(server.get("/health").statusCode()).isEqualTo(200);
    assertThat(server.complete(TestServer.body("Hello", "", "")).statusCode()).isEqualTo(200);
  }

  @Test
  void requestsThatDoNotArriveMakeRoomForOthers() throws Exception {
    List<Socket> slow = new ArrayList<>();
    try (TestServer server = new TestServer()) {
      for (String half : List.of(HALF_A_HEAD, HALF_A_BODY)) {
        for (int i = 0; i < ServerSettings.DEFAULT_CONNECTIONS + 50; i++) {
          slow.add(send(server, half));
        }
        answers(server);
      }
    } finally {
      for (Socket socket : slow) {
        socket.close();
      }
    }
  }

  @Test
  void connectionsThatSendNothingTakeNoPlaces() throws Exception {
    int places = 8;
    List<Socket> silent = new ArrayList<>();
    try (TestServer server = new TestServer(4, 8, s -> TestServer.withConnections(s, places))) {
      for (int i = 0; i < 400; i++) {
        silent.add(send(server, ""));
      }
      long start = System.nanoTime();
      assertThat(server.get("/health").statusCode()).isEqualTo(200);
      assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(5));
      answers(server);
      assertThat(silent).noneMatch(SlowClientsTest::hasEnded);
    } finally {
      for (Socket socket : silent) {
        socket.close();
      }
    }
  }

  private static boolean hasEnded(Socket socket) {
    try {
      socket.setSoTimeout(1);
      return socket.getInputStream().read() < 0;
    } catch (SocketTimeoutException open) {
      return false;
    } catch (IOException reset) {
      return true;
    }
  }

  @Test
  void aConnectionTakesOneRequestAfterTheOther() throws Exception {
    String question = TestServer.body("Hello", "", ",\"max_tokens\":2");
    String post =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
            + "\r\nContent-Length: ";
    String streamed = question.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\"");
    String requests =
        "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            + "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
            + (post + question.length() + "\r\n\r\n" + question)
            + (post + streamed.length() + "\r\n\r\n" + streamed)
            + (post + "2\r\n\r\n{}")
            + "GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: *\r\n\r\n"
            + "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    try (TestServer server = new TestServer();
        Socket socket = send(server, requests)) {
      String all = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      List<String> statuses =
          Pattern.compile("HTTP/1\\.1 (\\d+)").matcher(all).results().map(m -> m.group(1)).toList();
      assertThat(statuses).containsExactly("200", "200", "200", "200", "400", "304", "200");
      assertThat(all).contains("data: [DONE]", "\r\n0\r\n\r\n").endsWith("}");
    }
  }

  @Test
  void connectionsThatBreakOffAreForgotten() throws Exception {
    try (TestServer server = new TestServer()) {
      String request = "GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n";
      int most = Integer.getInteger("jdk.httpserver.maxConnections");
      for (int i = 0; i < most + 50; i++) {
        Socket socket = send(server, request);
        assertThat(socket.getInputStream().read()).isEqualTo('H');
        socket.setSoLinger(true, 0); // a reset
        socket.close();
      }
      answers(server);
    }
  }

  @Test
  void aHeadThatComesTooSlowlyIsEnded() throws Exception {
    try (Alarms alarms = new Alarms();
        Silence silence = new Silence()) {
      Arrivals arrivals = new Arrivals(alarms, 4, Duration.ofMillis(200));
      CompletableFuture<String> outcome = new CompletableFuture<>();
      arrivals.execute(
          () -> {
            try {
              silence.read();
            } catch (IOException closed) {
              outcome.complete(outcomeOf(Arrivals.current()::hasHead));
            }
          });
      assertThat(outcome.join()).isEqualTo("the request does not arrive");
      assertThat(silence.channel.isOpen()).isFalse();
    }
  }

  @Test
  void theOldestThatArrivesMakesRoomAndNoneThatIsAnswered() throws Exception {
    try (Alarms alarms = new Alarms()) {
      Arrivals arrivals = new Arrivals(alarms, 2, LONG);
      CountDownLatch end = new CountDownLatch(1);
      BlockingQueue<String> outcomes = new LinkedBlockingQueue<>();
      CountDownLatch reading = new CountDownLatch(1);
      arrivals.execute(
          () -> {
            outcomes.add("answered: " + outcomeOf(Arrivals.current()::hasHead));
            await(end);
          });
      assertThat(outcomes.take()).isEqualTo("answered: null");
      try (Silence silence = new Silence()) {
        arrivals.execute(
            () -> {
              Arrivals.Arrival client = Arrivals.current();
              Arrivals.Read body =
                  () -> {
                    reading.countDown();
                    silence.read();
                  };
              String head = outcomeOf(client::hasHead);
              String outcome = head + ", " + outcomeOf(() -> client.read(LONG, body));
              outcomes.add("reads: " + outcome + ", " + Thread.currentThread().isInterrupted());
            });
        reading.await();
        arrivals.execute(
            () -> {
              outcomes.add("new: " + outcomeOf(Arrivals.current()::hasHead));
              await(end);
            });
        assertThat(List.of(outcomes.take(), outcomes.take()))
            .containsExactlyInAnyOrder(
                "new: null", "reads: null, the request does not arrive, false");
      }
      assertThatThrownBy(() -> arrivals.execute(() -> {}))
          .isInstanceOf(RejectedExecutionException.class);
      assertThat(arrivals.awaitAnswers(Duration.ofMillis(50))).isFalse();
      end.countDown();
      assertThat(arrivals.awaitAnswers(LONG)).isTrue();
      CountDownLatch ran = new CountDownLatch(1);
      arrivals.execute(ran::countDown); // there is room again
      ran.await();
    }
  }

  private static String outcomeOf(Arrivals.Read read) {
    try {
      read.run();
      return "null";
    } catch (IOException e) {
      return String.valueOf(e.getMessage());
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A client that sends nothing. */
  private static final class Silence implements AutoCloseable {
    private final ServerSocket client;
    private final SocketChannel channel;

    Silence() throws IOException {
      client = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
      channel =
          SocketChannel.open(
              new InetSocketAddress(InetAddress.getLoopbackAddress(), client.getLocalPort()));
    }

    void read() throws IOException {
      channel.read(ByteBuffer.allocate(1));
    }

    @Override
    public void close() throws IOException {
      channel.close();
      client.close();
    }
  }
}
