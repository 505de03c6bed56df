package io.minigpt4.serve;

import io.minigpt4.tensor.UserException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Where and for whom a {@link Server} is there.
 *
 * @param host name or address to listen at
 * @param port 0 to 65535; 0 takes a free one
 * @param apiKey what clients must send; null for no key, which only a loopback address may go
 *     without
 * @param imageHosts {@code HOST} or {@code HOST:PORT} that pictures may be fetched from
 * @param origins of web pages elsewhere that may use the API, such as {@code https://example.org}
 * @param defaultTemperature of requests that give none
 * @param timeLimit after which an answer ends, counted from the request
 * @param maxConnections connections at a time that send a request or get an answer
 */
public record ServerSettings(
    String host,
    int port,
    @Nullable String apiKey,
    List<String> imageHosts,
    List<String> origins,
    double defaultTemperature,
    Duration timeLimit,
    int maxConnections) {

  /** Connections in use at a time unless somebody says otherwise. */
  public static final int DEFAULT_CONNECTIONS = 512;

  /** How long an answer may take unless somebody says otherwise. */
  public static final Duration DEFAULT_TIME_LIMIT = Duration.ofMinutes(5);

  /**
   * @throws UserException if a value is outside its range, or the server would be open to others
   *     without a key
   */
  public ServerSettings {
    imageHosts = List.copyOf(imageHosts);
    origins = List.copyOf(origins);
    if (host.isBlank()) {
      throw new UserException("the host to listen at is empty; give a name or an address");
    }
    if (port < 0 || port > 65_535) {
      throw new UserException("the port must be between 0 and 65535, not " + port);
    }
    if (apiKey != null && !apiKey.matches("[\\x21-\\x7E]+")) {
      throw new UserException(
          "the API key must be made of visible ASCII characters, at least one, without spaces");
    }
    if (!Double.isFinite(defaultTemperature) || defaultTemperature < 0) {
      throw new UserException("the temperature must be at least 0, not " + defaultTemperature);
    }
    if (timeLimit.compareTo(Duration.ofSeconds(1)) < 0) {
      throw new UserException("the time limit of an answer must be at least 1 second");
    }
    if (maxConnections < 1) {
      throw new UserException("the number of connections must be at least 1");
    }
    for (String origin : origins) {
      if (!origin.matches(
          "https?://[A-Za-z0-9.-]+(:\\d{1,5})?|https?://\\[[0-9A-Fa-f:]+](:\\d+)?")) {
        throw new UserException(
            "'" + origin + "' is not an origin; give it like https://example.org");
      }
    }
    imageHosts.forEach(RemoteImages.Listed::of);
    if (apiKey == null && !resolve(host).isLoopbackAddress()) {
      throw new UserException(
          "at "
              + host
              + " others can reach the server, so that it needs a key: give --api-key, or"
              + " MINIGPT4_API_KEY in the environment, or listen at 127.0.0.1");
    }
  }

  /** For this machine alone: no key, nothing fetched. */
  public static ServerSettings local(int port, double defaultTemperature) {
    return new ServerSettings(
        "127.0.0.1",
        port,
        null,
        List.of(),
        List.of(),
        defaultTemperature,
        DEFAULT_TIME_LIMIT,
        DEFAULT_CONNECTIONS);
  }

  /** The address to listen at. */
  InetAddress address() {
    return resolve(host);
  }

  private static InetAddress resolve(String host) {
    try {
      return InetAddress.getByName(host);
    } catch (UnknownHostException e) {
      throw new UserException("the host '" + host + "' is not known; check its name", e);
    }
  }
}
