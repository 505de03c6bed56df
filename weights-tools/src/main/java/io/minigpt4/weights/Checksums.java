package io.minigpt4.weights;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The CRC-32C and the length of bytes that come one after the other. It finds damage, at the speed
 * of memory; against somebody who means harm it is of no use.
 */
final class Checksums {
  private static final int CHUNK = 1 << 20;

  private final CRC32C crc = new CRC32C();
  private long bytes;

  /** Takes the next bytes. */
  void update(ByteBuffer buffer) {
    bytes += buffer.remaining();
    crc.update(buffer);
  }

  /** What came so far. */
  Journal.Done done() {
    return new Journal.Done(bytes, HexFormat.of().toHexDigits((int) crc.getValue()));
  }

  /** The SHA-256 of a text, in hexadecimal. */
  static String sha256(String text) {
    return HexFormat.of().formatHex(sha256().digest(text.getBytes(StandardCharsets.UTF_8)));
  }

  /** A new SHA-256. */
  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java has it
    }
  }

  static Journal.Done ofBytes(byte[] bytes) {
    Checksums sum = new Checksums();
    sum.update(ByteBuffer.wrap(bytes));
    return sum.done();
  }

  /**
   * The same of a file; null if there is none.
   *
   * @throws UserException if it cannot be read
   */
  static Journal.@Nullable Done ofFile(Path file) {
    if (!Files.exists(file)) {
      return null;
    }
    Checksums sum = new Checksums();
    ByteBuffer buffer = ByteBuffer.allocateDirect(CHUNK);
    try (FileChannel in = FileChannel.open(file, StandardOpenOption.READ)) {
      while (in.read(buffer.clear()) >= 0) {
        sum.update(buffer.flip());
      }
    } catch (IOException e) {
      throw new UserException(file + " cannot be read: " + UserException.reason(e), e);
    }
    return sum.done();
  }
}
