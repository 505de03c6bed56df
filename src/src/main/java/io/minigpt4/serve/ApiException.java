package io.minigpt4.serve;

import org.jspecify.annotations.Nullable;

/** A request that gets an error in OpenAI's JSON form as its answer. */
final class ApiException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int status;
  private final String type;
  private final @Nullable String param;
  private final @Nullable String code;
  private final int retryAfter;

  private ApiException(
      int status,
      String type,
      String message,
      @Nullable String param,
      @Nullable String code,
      int retryAfter) {
    super(message, null, false, false);
    this.status = status;
    this.type = type;
    this.param = param;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** The request is wrong. */
  static ApiException badRequest(@Nullable String param, String message) {
    return refused(400, param, null, message);
  }

  /** The request is wrong in a way that has a status, and perhaps a code, of its own. */
  static ApiException refused(
      int status, @Nullable String param, @Nullable String code, String message) {
    return new ApiException(status, "invalid_request_error", message, param, code, 0);
  }

  /** The key is missing or wrong. */
  static ApiException unauthorized() {
    return refused(
        401,
        null,
        "invalid_api_key",
        "this server wants its key: send the header 'Authorization: Bearer KEY'");
  }

  /** The same request may succeed later. */
  static ApiException busy(int status, String code, String message, int retryAfterSeconds) {
    String type = status == 429 ? "rate_limit_error" : "service_unavailable_error";
    return new ApiException(status, type, message, null, code, retryAfterSeconds);
  }

  /** The server is to blame; what happened is in its log only. */
  static ApiException fault() {
    return new ApiException(
        500, "server_error", "the server failed; its log says why", null, null, 0);
  }

  int status() {
    return status;
  }

  String type() {
    return type;
  }

  /** The field that is to blame. */
  @Nullable String param() {
    return param;
  }

  @Nullable String code() {
    return code;
  }

  /** When to try again, in seconds; 0 for no such hint. */
  int retryAfter() {
    return retryAfter;
  }

  String text() {
    return String.valueOf(getMessage());
  }
}
