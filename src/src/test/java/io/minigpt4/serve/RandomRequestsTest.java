package io.minigpt4.serve;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.HotSpotDiagnosticMXBean;
import com.sun.management.HotSpotDiagnosticMXBean.ThreadDumpFormat;
import com.sun.management.UnixOperatingSystemMXBean;
import io.minigpt4.chat.EngineStatus;
import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpClient;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A thousand requests of all kinds, good, wrong, broken and given up: afterwards the server answers
 * as before and holds no more than before.
 */
@Timeout(300)
class RandomRequestsTest {
  private static final int REQUESTS = 1000;
  private static final int AT_ONCE = 12;
  private static final Set<Integer> EXPECTED = Set.of(200, 400, 404, 405, 413, 415, 429, 503);
  private static final String ENDLESS =
      ",\"stream\":true,\"max_tokens\":900,\"min_tokens\":900,\"repetition_penalty\":0.01";

  @TempDir private Path folder = Path.of("");

  /** What a process holds. */
  private record Holdings(int threads, long files, long directBytes, long pageBytes, long heap) {}

  @Test
  void leaveNothingBehind() throws Exception {
    try (TestServer server = new TestServer(8, 4, settings -> settings)) {
      String before = answer(server);
      send(server, 1, REQUESTS / 4); // so that all that is made once is there
      Holdings first = settled(server, null);
      send(server, 2, REQUESTS);
      Holdings last = settled(server, first);
      assertThat(last.threads()).as("threads").isLessThanOrEqualTo(first.threads());
      assertThat(last.files()).as("file handles").isLessThanOrEqualTo(first.files());
      assertThat(last.directBytes())
          .as("direct memory")
          .isLessThanOrEqualTo(first.directBytes() + (1 << 20));
      assertThat(last.heap()).as("heap").isLessThan(first.heap() + (8 << 20));
      assertThat(last.pageBytes()).as("memory of pages").isLessThanOrEqualTo(most(server));
      assertThat(server.engine.status().kvTokensUsed())
          .isLessThanOrEqualTo(server.engine.status().kvTokensTotal());
      assertThat(answer(server)).isEqualTo(before);
      server.server.close();
      server.engine.close();
      assertThat(server.model.llama().pool().usedPages()).isZero();
    }
  }

  /** Bytes of as many pages as may be in use at a time. */
  private static long most(TestServer server) {
    EngineStatus status = server.engine.status();
    return status.kvTokensTotal() * server.model.llama().kvBytesPerToken();
  }

  private static String answer(TestServer server) {
    HttpResponse<String> response =
        server.complete(TestServer.body("Describe this image in detail.", TestServer.SCENE, ""));
    assertThat(response.statusCode()).isEqualTo(200);
    return TestServer.json(response)
        .get("choices")
        .asList()
        .getFirst()
        .get("message")
        .text("content", "");
  }

  private static void send(TestServer server, long seed, int count) throws Exception {
    Random seeds = new Random(seed);
    Semaphore places = new Semaphore(AT_ONCE);
    List<Future<?>> outcomes = new ArrayList<>();
    try (HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int i = 0; i < count; i++) {
        Random random = new Random(seeds.nextLong());
        places.acquire();
        outcomes.add(
            threads.submit(
                () -> {
                  try {
                    one(server, client, random);
                  } finally {
                    places.release();
                  }
                  return null;
                }));
      }
    }
    for (Future<?> outcome : outcomes) {
      outcome.get();
    }
  }

  private static void one(TestServer server, HttpClient client, Random random) throws Exception {
    switch (random.nextInt(12)) {
      case 0 -> giveUp(server, completion(TestServer.body("Go on", "", ENDLESS)), random, true);
      case 1 -> giveUp(server, completion(good(random)), random, false);
      case 2 -> expect(server, client, broken(random));
      case 3 -> expect(server, client, wrong(random));
      case 4 -> expect(server, client, "x".repeat(random.nextInt(2_000_000)));
      case 5 -> {
        if (random.nextInt(20) == 0) {
          tooLong(server);
        }
      }
      default -> expect(server, client, good(random));
    }
  }

  private static String pick(Random random, String... choices) {
    return choices[random.nextInt(choices.length)];
  }

  private static String good(Random random) {
    String question = pick(random, "What is this?", "Hello", "Is it red?", "Привет 你好 🦙", "\n\0");
    String fields =
        pick(random, "", ",\"n\":3", ",\"stop\":[\"a\",\"e\"]", ",\"logprobs\":true", ",\"seed\":7")
            + pick(random, "", ",\"stream\":true", ",\"temperature\":1.5", ",\"num_beams\":3");
    boolean scores = fields.contains("logprobs") && fields.contains("beams");
    return TestServer.body(
        question,
        random.nextInt(3) == 0 ? TestServer.SCENE : "",
        ",\"max_tokens\":" + (1 + random.nextInt(12)) + (scores ? "" : fields));
  }

  private static String wrong(Random random) {
    String field =
        pick(
            random,
            ",\"n\":0",
            ",\"temperature\":\"hot\"",
            ",\"max_tokens\":100000",
            ",\"tools\":[{}]",
            ",\"model\":\"other\"",
            ",\"top_p\":-1",
            ",\"stop\":[1]");
    return TestServer.body("Hello", "", "").replace("}]}]}", "}]}]" + field + "}");
  }

  /** A good body with a part cut out, doubled or overwritten. */
  private static String broken(Random random) {
    String body = good(random);
    int from = random.nextInt(body.length());
    int to = from + random.nextInt(Math.min(40, body.length() - from) + 1);
    String middle =
        switch (random.nextInt(3)) {
          case 0 -> "";
          case 1 -> body.substring(from, to).repeat(2);
          default -> "\u0000\"{[".repeat(1 + random.nextInt(3));
        };
    return body.substring(0, from) + middle + body.substring(to);
  }

  private static void expect(TestServer server, HttpClient client, String body) throws Exception {
    HttpResponse<String> response =
        client.send(
            server
                .request("/v1/chat/completions")
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(body))
                .build(),
            BodyHandlers.ofString());
    assertThat(response.statusCode()).as(response.body()).isIn(EXPECTED);
    assertThat(response.body()).doesNotContain("\tat ", "Exception");
    if (response.statusCode() != 200) {
      assertThat(TestServer.json(response).object("error").text("message", "")).isNotEmpty();
    }
  }

  private static String head(int contentLength) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        + "Content-Type: application/json\r\nContent-Length: "
        + contentLength
        + "\r\n\r\n";
  }

  private static byte[] completion(String body) {
    byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
    return (head(bytes.length) + body).getBytes(StandardCharsets.UTF_8);
  }

  /** Sends a request, or the beginning of it, reads a little and goes away. */
  private static void giveUp(TestServer server, byte[] request, Random random, boolean whole)
      throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port())) {
      int count = whole ? request.length : random.nextInt(request.length);
      socket.getOutputStream().write(request, 0, count);
      if (whole) {
        socket.getInputStream().readNBytes(random.nextInt(400));
      }
      socket.setSoLinger(random.nextBoolean(), 0);
    }
  }

  /** Says that it sends too much, and begins to. */
  private static void tooLong(TestServer server) throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.server.port())) {
      String head = head(99_000_000);
      socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
      socket.getOutputStream().write(new byte[1 << 20]);
      byte[] start = socket.getInputStream().readNBytes(12);
      assertThat(new String(start, StandardCharsets.US_ASCII)).isEqualTo("HTTP/1.1 413");
    }
  }

  // ---- what is held

  /** Counts when nothing runs, and when connections that were given up are closed. */
  private Holdings settled(TestServer server, @Nullable Holdings wanted) throws Exception {
    server.idle();
    if (wanted == null) {
      Thread.sleep(5000);
      return holdings(server);
    }
    Holdings now = holdings(server);
    long end =
        System.nanoTime() + 40_000_000_000L; // closed connections are noticed in their own time
    while (System.nanoTime() < end
        && (now.files() > wanted.files() || now.threads() > wanted.threads())) {
      Thread.sleep(200);
      now = holdings(server);
    }
    return now;
  }

  private Holdings holdings(TestServer server) throws IOException {
    System.gc();
    long direct = 0;
    for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
      direct += pool.getName().equals("direct") ? pool.getMemoryUsed() : 0;
    }
    long files = 0;
    if (ManagementFactory.getOperatingSystemMXBean() instanceof UnixOperatingSystemMXBean unix) {
      files = unix.getOpenFileDescriptorCount();
    }
    Runtime runtime = Runtime.getRuntime();
    return new Holdings(
        threads(),
        files,
        direct,
        server.model.llama().pool().allocatedBytes(),
        runtime.totalMemory() - runtime.freeMemory());
  }

  /** Threads of both kinds, as only a dump lists the virtual ones. */
  private int threads() throws IOException {
    Path dump = folder.resolve("threads.json");
    Files.deleteIfExists(dump);
    ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class)
        .dumpThreads(dump.toAbsolutePath().toString(), ThreadDumpFormat.JSON);
    return Files.readString(dump).split("\"tid\":", -1).length - 1;
  }
}
