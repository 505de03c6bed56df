package io.minigpt4.serve;

import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The files of the page, from the jar. */
final class StaticFiles {
  private static final String FOLDER = "/io/minigpt4/serve/page";
  private static final String INDEX = "/index.html";

  /** No dots but the one before the ending, so that there is no way out of the folder. */
  private static final Pattern PATH =
      Pattern.compile("(?:/[A-Za-z0-9_-]{1,64}){1,4}\\.([a-z0-9]{1,11})");

  private static final Map<String, String> TYPES =
      Map.ofEntries(
          Map.entry("html", "text/html; charset=utf-8"),
          Map.entry("css", "text/css; charset=utf-8"),
          Map.entry("js", "text/javascript; charset=utf-8"),
          Map.entry("json", "application/json"),
          Map.entry("webmanifest", "application/manifest+json"),
          Map.entry("svg", "image/svg+xml"),
          Map.entry("png", "image/png"),
          Map.entry("jpg", "image/jpeg"),
          Map.entry("webp", "image/webp"),
          Map.entry("ico", "image/x-icon"),
          Map.entry("woff2", "font/woff2"));

  /** Files that were asked for; there are only as many as the jar has. */
  private final Map<String, File> files = new ConcurrentHashMap<>();

  /** A file, ready to be sent; the tag is a hash of its content. */
  private static final class File {
    final byte[] content;
    final String type;
    final String tag;

    File(byte[] content, String type, String tag) {
      this.content = content;
      this.type = type;
      this.tag = tag;
    }
  }

  /** Whether there is a file at a path. */
  boolean has(String path) {
    return file(path) != null;
  }

  /**
   * Sends a file.
   *
   * @throws ApiException if there is none at the path
   */
  void send(Call call) throws IOException {
    File file = file(call.path());
    if (file == null) {
      throw ApiException.refused(404, null, "not_found", "there is nothing at this path");
    }
    call.replyHeaders().set("ETag", file.tag);
    call.replyHeaders().set("Cache-Control", "no-cache");
    String known = call.header("If-None-Match");
    boolean isKnown =
        known != null
            && Arrays.stream(known.split(",", -1))
                .map(String::strip)
                .anyMatch(tag -> tag.equals(file.tag) || tag.equals("*"));
    if (isKnown) {
      call.empty(304);
    } else {
      call.send(200, file.type, file.content);
    }
  }

  private @Nullable File file(String path) {
    String name = path.equals("/") ? INDEX : path;
    File known = files.get(name);
    if (known != null) {
      return known;
    }
    Matcher matcher = PATH.matcher(name);
    String type = matcher.matches() ? TYPES.get(matcher.group(1)) : null;
    if (type == null) {
      return null;
    }
    try (InputStream in = StaticFiles.class.getResourceAsStream(FOLDER + name)) {
      if (in == null) {
        return null;
      }
      byte[] content = in.readAllBytes();
      byte[] hash = MessageDigest.getInstance("SHA-256").digest(content);
      File file = new File(content, type, '"' + HexFormat.of().formatHex(hash, 0, 8) + '"');
      files.put(name, file);
      return file;
    } catch (IOException | NoSuchAlgorithmException e) {
      throw new IllegalStateException("the page's file " + name + " cannot be read", e);
    }
  }
}
