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
  private static final Duration BODY_LIMIT = Duration.ofSeconds(60);
  private static final int KIB = 1024;

  private final HttpExchange exchange;
  private final WriteGuard guard;
  private final Arrivals.Arrival client;
  private final long arrival = System.nanoTime();
  private int status;

  /** Whether the client may be sending still. */
  private boolean isArriving;

  Call(HttpExchange exchange, WriteGuard guard, Arrivals.Arrival client) {
    this.exchange = exchange;
    this.guard = guard;
    this.client = client;
    this.isArriving = header("Content-Length") != null || header("Transfer-Encoding") != null;
  }

  /**
   * Says that it begins to be answered.
   *
   * @throws IOException if it came too late
   */
  void begin() throws IOException {
    client.hasHead();
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
    if (declared != null && Long.parseLong(declared) > most) {
      throw tooLong(most);
    }
    Body body = new Body(budget);
    try {
      client.read(BODY_LIMIT, () -> body.read(exchange.getRequestBody(), most));
      isArriving = false;
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
    private final Semaphore budget;
    private int permits;
    private byte[] bytes = {};

    private Body(Semaphore budget) {
      this.budget = budget;
    }

    private void read(InputStream in, int most) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[16_384];
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        if (out.size() + count > most) {
          throw tooLong(most);
        }
        pay((out.size() + count) / KIB + 1);
        out.write(buffer, 0, count);
      }
      bytes = out.toByteArray();
    }

    /** Takes from the budget for what has come, not for what is announced and may never come. */
    private void pay(int all) {
      if (!budget.tryAcquire(all - permits)) {
        throw ApiException.busy(503, "busy", "too many large requests at a time", 2);
      }
      permits = all;
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
    finish();
  }

  /**
   * Ends an answer all of which has been written. Not left to {@link HttpExchange#close}, which
   * hides from the JDK's server that the client has gone, so that the connection would count for
   * ever.
   */
  private void finish() throws IOException {
    skipRest();
    guard.run(exchange.getResponseBody()::close);
  }

  /** Skips for a while what the client still sends. */
  private void skipRest() throws IOException {
    if (isArriving) {
      client.read(LINGER, this::skipBody);
      isArriving = false;
    }
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
    if (method().equals("HEAD") || content.length == 0) {
      replyHeaders().set("Content-Length", Integer.toString(content.length));
      withoutContent(code);
      return;
    }
    guard.run(
        () -> {
          exchange.sendResponseHeaders(code, content.length);
          exchange.getResponseBody().write(content);
          exchange.getResponseBody().flush();
        });
    finish();
  }

  /** Sends an answer without content. */
  void empty(int code) throws IOException {
    status = code;
    withoutContent(code);
  }

  /** Of such an answer the JDK's server takes the headers for the end. */
  private void withoutContent(int code) throws IOException {
    skipRest();
    guard.run(() -> exchange.sendResponseHeaders(code, -1));
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
    finish();
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
