package io.minigpt4.weights;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** Says in a few words what input files are, so that a change of them is noticed. */
final class Sources {
  private Sources() {}

  /**
   * Names, sizes and times of files, and of the files in folders.
   *
   * @throws UserException if one is not there
   */
  static String describe(List<Path> paths) {
    List<String> parts = new ArrayList<>();
    for (Path path : paths) {
      try {
        if (Files.isDirectory(path)) {
          try (Stream<Path> files = Files.list(path)) {
            for (Path file : files.sorted().toList()) {
              if (Files.isRegularFile(file)) {
                parts.add(describe(file));
              }
            }
          }
        } else {
          parts.add(describe(path));
        }
      } catch (IOException e) {
        throw unreadable(path, e);
      }
    }
    return String.join("; ", parts);
  }

  private static String describe(Path file) throws IOException {
    return file.toRealPath() + " " + Files.size(file) + " " + Files.getLastModifiedTime(file);
  }

  /** The message for a file that cannot be read. */
  static UserException unreadable(Path path, IOException e) {
    return new UserException(
        path
            + (Files.exists(path)
                ? " cannot be read: " + UserException.reason(e)
                : " does not exist: check the path"),
        e);
  }

  /** A small file's bytes. */
  static byte[] bytes(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (IOException e) {
      throw unreadable(file, e);
    }
  }
}
