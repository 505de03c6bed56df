package io.minigpt4.config;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** The text of a configuration file. */
final class ConfigText {
  /** Configuration files are small; whatever is larger is something else. */
  static final int MAX_BYTES = 1 << 20;

  private ConfigText() {}

  /**
   * Reads a file as UTF-8.
   *
   * @throws UserException if it is missing, a folder, unreadable, larger than {@link #MAX_BYTES} or
   *     not UTF-8
   */
  static String read(Path file) {
    if (Files.isDirectory(file)) {
      throw new UserException(file + " is a folder where a configuration file is expected");
    }
    try (InputStream in = Files.newInputStream(file)) {
      byte[] bytes = in.readNBytes(MAX_BYTES + 1);
      if (bytes.length > MAX_BYTES) {
        throw new UserException(
            file + " is larger than " + MAX_BYTES + " bytes: that is no configuration file");
      }
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new UserException(file + " is not text in UTF-8: is it a configuration file?", e);
    } catch (NoSuchFileException e) {
      throw new UserException(file + " does not exist: check the path", e);
    } catch (IOException e) {
      throw new UserException(file + " cannot be read: " + UserException.reason(e), e);
    }
  }
}
