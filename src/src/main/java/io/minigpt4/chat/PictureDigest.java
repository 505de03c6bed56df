package io.minigpt4.chat;

import io.minigpt4.image.Picture;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** What a picture is known by: equal for equal pixels, and for nothing else that anybody finds. */
record PictureDigest(ByteBuffer sha256) {
  static PictureDigest of(Picture picture) {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      sha.update(ByteBuffer.allocate(8).putInt(picture.width()).putInt(picture.height()).flip());
      sha.update(picture.rgb());
      return new PictureDigest(ByteBuffer.wrap(sha.digest()));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }
}
