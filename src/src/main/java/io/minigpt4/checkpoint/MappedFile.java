package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.function.Function;

/** Maps files into memory and puts what goes wrong into the user's words. */
final class MappedFile {
  private MappedFile() {}

  /**
   * Makes something that owns a new arena and will close it; if making it fails the arena is closed
   * at once.
   */
  @SuppressWarnings("MustBeClosedChecker") // the result takes the arena over
  static <T> T owning(Function<Arena, T> make) {
    Arena arena = Arena.ofShared();
    try {
      return make.apply(arena);
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  /**
   * Maps a whole file, read-only.
   *
   * @param arena owns the mapping
   * @throws UserException if it is missing, a folder, no file, empty or not readable
   */
  static MemorySegment map(Path file, Arena arena) {
    if (Files.isDirectory(file)) {
      throw new UserException(file + " is a folder where a checkpoint file is expected");
    }
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      // Opening a pipe would wait for somebody who writes into it.
      throw new UserException(
          file + " is a device or pipe where a checkpoint file is expected: save it as a file");
    }
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long size = channel.size();
      if (size == 0) {
        throw new UserException(file + " is empty: download or copy it again");
      }
      return channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena);
    } catch (IOException e) {
      throw unreadable(file, e);
    }
  }

  /** The message for a file that the operating system does not give us. */
  static UserException unreadable(Path file, IOException e) {
    if (e instanceof NoSuchFileException) {
      return new UserException(file + " does not exist: check the path", e);
    }
    return new UserException(file + " cannot be read: " + UserException.reason(e), e);
  }
}
