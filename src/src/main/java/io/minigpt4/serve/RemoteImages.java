package io.minigpt4.serve;

import io.minigpt4.tensor.UserException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Semaphore;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/**
 * Fetches pictures from hosts that the operator has listed, and from no others. A name is resolved
 * once; all of its addresses must be public ones, and the connection goes to the address that was
 * looked at, so that a name that changes its address between the look and the connection gains
 * nothing. A private address is reached only if the list has that very address. Redirects are not
 * followed.
 */
final class RemoteImages {
  private static final int TIMEOUT_MILLIS = 10_000;
  private static final int MAX_HEADER_BYTES = 16_384;
  private static final int AT_A_TIME = 8;
  private static final Pattern ENTRY =
      Pattern.compile("(\\[[0-9A-Fa-f:.]+]|[A-Za-z0-9._-]+)(?::(\\d{1,5}))?");
  private static final Pattern NUMERIC = Pattern.compile("[0-9.]+|\\[.*]");
  private static final Pattern STATUS = Pattern.compile("HTTP/1\\.[01] (\\d{3})(?: .*)?");

  /** A listed host; port −1 stands for the schemes' own ports. */
  record Listed(String host, int port) {
    /**
     * @param entry {@code HOST} or {@code HOST:PORT}
     * @throws UserException if it is neither
     */
    static Listed of(String entry) {
      Matcher parts = ENTRY.matcher(entry);
      int port = parts.matches() && parts.group(2) != null ? Integer.parseInt(parts.group(2)) : -1;
      if (!parts.matches() || port == 0 || port > 65_535) {
        throw new UserException("'" + entry + "' is not a host; give HOST or HOST:PORT");
      }
      return new Listed(parts.group(1).toLowerCase(Locale.ROOT), port);
    }
  }

  private final List<Listed> listed;
  private final Semaphore places = new Semaphore(AT_A_TIME);

  /**
   * @param hosts {@code HOST} or {@code HOST:PORT}
   * @throws UserException if one of them is neither
   */
  RemoteImages(List<String> hosts) {
    listed = hosts.stream().map(Listed::of).toList();
  }

  /**
   * Fetches a picture's bytes.
   *
   * @throws ApiException if the host is not listed, or the picture cannot be had
   */
  byte[] fetch(String url) {
    if (listed.isEmpty()) {
      throw refused("this server fetches no pictures; send them as data:image/png;base64,…");
    }
    URI uri = parse(url);
    String host = uri.getHost().toLowerCase(Locale.ROOT);
    boolean secure = "https".equalsIgnoreCase(uri.getScheme());
    int usual = secure ? 443 : 80;
    int port = uri.getPort() < 0 ? usual : uri.getPort();
    boolean allowed =
        listed.stream()
            .anyMatch(
                entry ->
                    entry.host().equals(host) && port == (entry.port() < 0 ? usual : entry.port()));
    if (!allowed) {
      throw refused("this server does not fetch pictures from that host");
    }
    if (!places.tryAcquire()) {
      throw ApiException.busy(503, "busy", "too many pictures are being fetched", 2);
    }
    try {
      return get(uri, host, new InetSocketAddress(address(host), port), secure);
    } catch (IOException e) {
      throw refused("a picture cannot be fetched: its server cannot be reached, or broke off");
    } finally {
      places.release();
    }
  }

  private static URI parse(String url) {
    try {
      URI uri = new URI(url);
      if (uri.getHost() != null && uri.getUserInfo() == null) {
        return uri;
      }
    } catch (URISyntaxException e) {
      // told below
    }
    throw refused("an image_url is not a valid address");
  }

  private static InetAddress address(String host) throws UnknownHostException {
    InetAddress[] all = InetAddress.getAllByName(host);
    boolean literal = NUMERIC.matcher(host).matches();
    for (InetAddress address : all) {
      if (!literal && !isPublic(address)) {
        throw refused("a picture's host has an address that is not public");
      }
    }
    return all[0];
  }

  /** Whether an address is one of the open internet's, and none that leads back inside. */
  static boolean isPublic(InetAddress address) {
    if (address.isAnyLocalAddress()
        || address.isLoopbackAddress()
        || address.isLinkLocalAddress()
        || address.isSiteLocalAddress()
        || address.isMulticastAddress()) {
      return false;
    }
    byte[] b = address.getAddress();
    int first = b[0] & 0xFF;
    int second = b[1] & 0xFF;
    if (b.length == 4) {
      boolean shared = first == 100 && (second & 0xC0) == 64; // RFC 6598
      boolean special = first == 192 && second == 0 && b[2] == 0; // RFC 6890
      boolean benchmarks = first == 198 && (second & 0xFE) == 18; // RFC 2544
      return first != 0 && first < 240 && !shared && !special && !benchmarks;
    }
    // 2000::/3 without Teredo (2001::/32) and 6to4 (2002::/16), which wrap addresses of IPv4; not
    // in it are unique local addresses and the wrapper of NAT64.
    boolean global = (first & 0xE0) == 0x20;
    boolean teredo = first == 0x20 && second == 1 && b[2] == 0 && b[3] == 0;
    return global && !teredo && !(first == 0x20 && second == 2);
  }

  // ---- HTTP

  /** HTTP/1.0, so that the content comes as it is and ends with the connection. */
  private static byte[] get(URI uri, String host, InetSocketAddress to, boolean secure)
      throws IOException {
    long deadline = System.nanoTime() + TIMEOUT_MILLIS * 1_000_000L;
    try (Socket plain = new Socket()) {
      plain.connect(to, TIMEOUT_MILLIS);
      plain.setSoTimeout(left(deadline));
      try (Socket socket = secure ? secured(plain, host, to.getPort()) : plain) {
        String path = uri.getRawPath().isEmpty() ? "/" : uri.getRawPath();
        String query = uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery();
        String port = uri.getPort() < 0 ? "" : ":" + uri.getPort();
        String request =
            "GET "
                + path
                + query
                + " HTTP/1.0\r\nHost: "
                + host
                + port
                + "\r\nAccept: image/*\r\nUser-Agent: minigpt4\r\n\r\n";
        // Of a URI nothing but ASCII is left, and no line break; see parse.
        socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
        InputStream in = socket.getInputStream();
        checkStatus(header(in, plain, deadline));
        return content(in, plain, deadline);
      }
    }
  }

  private static Socket secured(Socket plain, String host, int port) throws IOException {
    SSLSocketFactory factory = (SSLSocketFactory) SSLSocketFactory.getDefault();
    SSLSocket socket = (SSLSocket) factory.createSocket(plain, host, port, true);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS"); // the certificate is the host's
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    return socket;
  }

  private static int left(long deadline) throws IOException {
    long millis = (deadline - System.nanoTime()) / 1_000_000;
    if (millis <= 0) {
      throw new IOException("the time is over");
    }
    return (int) millis;
  }

  private static String header(InputStream in, Socket socket, long deadline) throws IOException {
    StringBuilder header = new StringBuilder();
    while (header.length() < 4 || header.indexOf("\r\n\r\n", header.length() - 4) < 0) {
      socket.setSoTimeout(left(deadline));
      int b = in.read();
      if (b < 0 || header.length() == MAX_HEADER_BYTES) {
        throw new IOException("no header");
      }
      header.append((char) b);
    }
    return header.toString();
  }

  private static void checkStatus(String header) {
    Matcher line = STATUS.matcher(header.substring(0, header.indexOf("\r\n")));
    String status = line.matches() ? line.group(1) : "no";
    if (status.startsWith("3")) {
      throw refused("a picture's server redirects elsewhere, which is not followed");
    }
    if (!status.equals("200")) {
      throw refused("a picture's server answered with status " + status);
    }
  }

  private static byte[] content(InputStream in, Socket socket, long deadline) throws IOException {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    byte[] buffer = new byte[16_384];
    while (true) {
      socket.setSoTimeout(left(deadline));
      int count = in.read(buffer);
      if (count < 0) {
        return content.toByteArray();
      }
      content.write(buffer, 0, count);
      if (content.size() > ImageUrls.MAX_BYTES) {
        throw refused("a picture is longer than " + ImageUrls.MAX_BYTES + " bytes");
      }
    }
  }

  private static ApiException refused(String message) {
    return ApiException.refused(400, "messages", "invalid_image_url", message);
  }
}
