package io.minigpt4.chat;

import io.minigpt4.image.Picture;
import io.minigpt4.model.MiniGpt4;
import java.lang.foreign.MemorySegment;
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
  private final Map<PictureDigest, MemorySegment> encoded = new LinkedHashMap<>(16, 0.75f, true);

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
    PictureDigest key = PictureDigest.of(picture);
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
}
