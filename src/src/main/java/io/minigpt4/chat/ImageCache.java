package io.minigpt4.chat;

import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Encodes pictures, and remembers the outcome by content: the same picture, wherever it comes from,
 * goes through the vision transformer once.
 *
 * <p>Not safe for use by several threads.
 */
public final class ImageCache {
  private MiniGpt4 model;
  private final int capacity;
  private final Map<ByteBuffer, MemorySegment> encoded = new LinkedHashMap<>(16, 0.75f, true);

  /**
   * @param capacity how many pictures to remember, the least recently used one makes room; one
   *     takes rowsPerImage × hidden size floats, 640 KiB in the 13B model
   */
  public ImageCache(MiniGpt4 model, int capacity) {
    this.model = model;
    this.capacity = capacity;
  }

  /** From now on encodes with another model of the same weights. */
  void use(MiniGpt4 fresh) {
    model = fresh;
  }

  /** Rows [rowsPerImage, hidden size] of a picture, as {@link MiniGpt4#encode(Picture)}. */
  public MemorySegment encode(Picture picture) {
    ByteBuffer key = digest(picture);
    MemorySegment rows = encoded.get(key);
    if (rows == null) {
      rows = model.encode(picture);
      encoded.put(key, rows);
      if (encoded.size() > capacity) {
        encoded.remove(encoded.keySet().iterator().next());
      }
    }
    return rows;
  }

  private static ByteBuffer digest(Picture picture) {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      sha.update(ByteBuffer.allocate(8).putInt(picture.width()).putInt(picture.height()).flip());
      sha.update(picture.rgb());
      return ByteBuffer.wrap(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }
}
