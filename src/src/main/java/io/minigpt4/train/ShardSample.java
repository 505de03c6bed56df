package io.minigpt4.train;

import io.minigpt4.config.JsonFile;
import io.minigpt4.tensor.UserException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** A picture and its caption among the members of a tar archive that have one basename. */
final class ShardSample {
  /** A caption has some hundreds of bytes; what is beside it in a .json file, a few thousand. */
  private static final int MOST_TEXT = 1 << 20;

  private static final List<String> PICTURES = List.of("jpg", "jpeg", "png", "webp");

  private final byte[] picture;
  private final String caption;

  private ShardSample(byte[] picture, String caption) {
    this.picture = picture;
    this.caption = caption;
  }

  /**
   * Finds them.
   *
   * @param members contents by extension
   * @param name what messages call the sample
   * @throws UserException if one is missing
   */
  static ShardSample of(Map<String, byte[]> members, String name) {
    byte[] picture =
        PICTURES.stream()
            .filter(members::containsKey)
            .findFirst()
            .map(members::get)
            .orElseThrow(() -> new UserException(name + ": no picture among " + members.keySet()));
    return new ShardSample(picture, caption(members, name));
  }

  /** The picture's file. */
  byte[] picture() {
    return picture;
  }

  String caption() {
    return caption;
  }

  private static String text(byte[] bytes, String name) {
    if (bytes.length > MOST_TEXT) {
      throw new UserException(name + ": a caption of " + bytes.length + " bytes");
    }
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new UserException(name + ": a caption that is not UTF-8", e);
    }
  }

  private static String caption(Map<String, byte[]> members, String name) {
    byte[] json = members.get("json");
    if (json != null) {
      return JsonFile.parse(name, text(json, name)).get("caption").asText();
    }
    byte[] text = members.get("txt");
    if (text == null) {
      throw new UserException(name + ": no caption among " + members.keySet());
    }
    return text(text, name);
  }
}
