package io.minigpt4.serve;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/** One request and its answer. */
final class Call {
  static final String JSON = "application/json";
  private static final long LINGER_BYTES = 64L << 20;
  private static final Duration LINGER = Duration.ofSeconds(3);
  private static final int KIB = 1024;

  private final HttpExchange exchange;
  private final WriteGuard guard;
  private final long arrival = System.nanoTime();
  private int status;

  Call(HttpExchange exchange, WriteGuard guard) {
    this.exchange = exchange;
    this.guard = guard;
  }

  /** When it came, as {@link System#nanoTime} counts. */
  long arrival() {
    return arrival;
  }

  String method() {
    return exchange.getRequestMethod();
  }

  /** The decoded path; "/" for a request that has none. */
  String path() {
    String path = exchange.getRequestURI().getPath();
    return path == null || path.isEmpty() ? "/" : path;
  }

  @Nullable String header(String name) {
    return exchange.getRequestHeaders().getFirst(name);
  }

  Headers replyHeaders() {
    return exchange.getResponseHeaders();
  }

  /** The status of the answer; 0 before there is one. */
  int status() {
    return status;
  }

  /**
   * The body, whose memory comes out of a budget that all requests share; whoever calls gives it
   * back with {@link Body#close}.
   *
   * @param budget in KiB
   * @throws ApiException if it is too long, or too much is being read already
   * @throws IOException if the client is gone or too slow
   */
  Body body(int most, Semaphore budget) throws IOException {
    String declared = header("Content-Length");
    boolean chunked = header("Transfer-Encoding") != null;
    long length = chunked ? most : declared == null ? 0 : Long.parseLong(declared);
    if (length > most) {
      throw tooLong(most);
    }
    int permits = (int) (length / KIB) + 1;
    if (!budget.tryAcquire(permits)) {
      throw ApiException.busy(503, "busy", "too many large requests at a time", 2);
    }
    Body body = new Body(permits, budget);
    try {
      body.read(exchange.getRequestBody(), most);
      return body;
    } catch (IOException | RuntimeException e) {
      body.close();
      throw e;
    }
  }

  private ApiException tooLong(int most) {
    replyHeaders().set("Connection", "close");
    return ApiException.refused(
        413,
        null,
        "request_too_large",
        "the body is longer than " + (most >> 20) + " MiB; send fewer or smaller images");
  }

  /** Bytes that lie in memory until it is closed. */
  final class Body implements AutoCloseable {
    private final int permits;
    private final Semaphore budget;
    private byte[] bytes = {};

    private Body(int permits, Semaphore budget) {
      this.permits = permits;
      this.budget = budget;
    }

    private void read(InputStream in, int most) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[16_384];
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        if (out.size() + count > most) {
          throw tooLong(most);
        }
        out.write(buffer, 0, count);
      }
      bytes = out.toByteArray();
    }

    byte[] bytes() {
      return bytes;
    }

    @Override
    public void close() {
      bytes = new byte[0];
      budget.release(permits);
    }
  }

  // ---- answers

  void json(int code, byte[] value) throws IOException {
    send(code, JSON, value);
  }

  /**
   * Sends an error, whether all of the request has come or not. What still comes is read for a
   * while, because a client that is cut off while it sends does not read the answer.
   */
  void refuse(int code, byte[] error) throws IOException {
    if (method().equals("HEAD")) {
      json(code, error);
      return;
    }
    replyHeaders().set("Content-Type", JSON);
    status = code;
    guard.run(
        () -> {
          exchange.sendResponseHeaders(code, error.length);
          exchange.getResponseBody().write(error);
          exchange.getResponseBody().flush();
        });
    guard.run(
        LINGER,
        () -> {
          skipBody();
          exchange.close();
        });
  }

  private void skipBody() throws IOException {
    byte[] buffer = new byte[16_384];
    InputStream in = exchange.getRequestBody();
    long read = 0;
    for (int count = 0; count >= 0 && read < LINGER_BYTES; count = in.read(buffer)) {
      read += count;
    }
  }

  /** Sends a whole answer; to HEAD without its content. */
  void send(int code, String contentType, byte[] content) throws IOException {
    replyHeaders().set("Content-Type", contentType);
    status = code;
    guard.run(
        () -> {
          if (method().equals("HEAD")) {
            replyHeaders().set("Content-Length", Integer.toString(content.length));
            exchange.sendResponseHeaders(code, -1);
          } else {
            exchange.sendResponseHeaders(code, content.length == 0 ? -1 : content.length);
            exchange.getResponseBody().write(content);
          }
          exchange.close();
        });
  }

  /** Sends an answer without content. */
  void empty(int code) throws IOException {
    status = code;
    guard.run(
        () -> {
          exchange.sendResponseHeaders(code, -1);
          exchange.close();
        });
  }

  /** Begins an answer that comes in pieces. */
  void begin(String contentType) throws IOException {
    replyHeaders().set("Content-Type", contentType);
    replyHeaders().set("Cache-Control", "no-store");
    status = 200;
    guard.run(() -> exchange.sendResponseHeaders(200, 0));
  }

  /** Sends a piece at once. */
  void piece(byte[] piece) throws IOException {
    guard.run(
        () -> {
          exchange.getResponseBody().write(piece);
          exchange.getResponseBody().flush();
        });
  }

  /** Says that the pieces are complete. */
  void end() throws IOException {
    guard.run(exchange::close);
  }

  /** Whether the status has been sent, so that it is too late for another. */
  boolean hasBegun() {
    return status != 0;
  }

  /** Whether the pieces are events, among which an error can be. */
  boolean isEventStream() {
    String type = replyHeaders().getFirst("Content-Type");
    return type != null && type.startsWith("text/event-stream");
  }

  /** Ends it, whatever state it is in. */
  void close() {
    exchange.close();
  }

  /** Cuts the connection, so that a client does not take the pieces for a whole. */
  void abort() {
    // Interrupting a thread that writes to a channel closes the channel, unfinished as it is.
    Thread.currentThread().interrupt();
    try {
      exchange.getResponseBody().write(' ');
      exchange.getResponseBody().flush();
    } catch (IOException e) {
      // That is what was wanted.
    } finally {
      boolean unused = Thread.interrupted();
      exchange.close();
    }
  }

  /** Whether the content type is JSON, with or without parameters. */
  boolean hasJson() {
    String type = header("Content-Type");
    return type != null
        && Arrays.asList(type.toLowerCase(Locale.ROOT).split(";", -1))
            .getFirst()
            .strip()
            .equals(JSON);
  }
}
