package io.minigpt4.serve;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Who may do what: the key, the names that the server goes by, web pages elsewhere. */
final class Access {
  private static final String SCHEME = "bearer ";

  /** Names of this machine that no foreign name server can give to itself. */
  private static final Set<String> LOOPBACK = Set.of("localhost", "127.0.0.1", "[::1]");

  private final ServerSettings settings;
  private final boolean isLoopback;

  Access(ServerSettings settings) {
    this.settings = settings;
    this.isLoopback = settings.address().isLoopbackAddress();
  }

  /**
   * Refuses requests for another name than this machine's at a loopback address: they come from a
   * web page whose own name was made to point here (DNS rebinding).
   */
  void checkHost(Call call) {
    if (!isLoopback) {
      return;
    }
    String host = call.header("Host");
    String name = host == null ? "" : host.replaceFirst(":\\d*$", "").toLowerCase(Locale.ROOT);
    if (!LOOPBACK.contains(name) && !name.equals(settings.host().toLowerCase(Locale.ROOT))) {
      throw ApiException.refused(
          403, null, "wrong_host", "this server answers to localhost and 127.0.0.1 only");
    }
  }

  /** Lets pages of listed origins in, and no other page but the server's own. */
  void checkOrigin(Call call) {
    String origin = call.header("Origin");
    if (origin == null || isOwn(origin, call.header("Host"))) {
      return;
    }
    if (!settings.origins().contains(origin)) {
      throw ApiException.refused(
          403, null, "wrong_origin", "web pages of this origin may not use this server");
    }
    call.replyHeaders().set("Access-Control-Allow-Origin", origin);
    call.replyHeaders().set("Access-Control-Expose-Headers", "Retry-After");
    call.replyHeaders().add("Vary", "Origin");
  }

  private static boolean isOwn(String origin, @Nullable String host) {
    return host != null && (origin.equals("http://" + host) || origin.equals("https://" + host));
  }

  /**
   * Whether the request carries the key; true where none is needed. Takes as long for a wrong key
   * however much of it is right.
   */
  boolean hasKey(Call call) {
    String key = settings.apiKey();
    if (key == null) {
      return true;
    }
    String given = call.header("Authorization");
    if (given == null || !given.regionMatches(true, 0, SCHEME, 0, SCHEME.length())) {
      return false;
    }
    return MessageDigest.isEqual(
        key.getBytes(StandardCharsets.UTF_8),
        given.substring(SCHEME.length()).strip().getBytes(StandardCharsets.UTF_8));
  }
}
