package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** A file that is written under another name first, and then put in its place. */
final class TargetFile {
  private TargetFile() {}

  /**
   * Where the file is to lie: behind a symbolic link, so that the link stays one.
   *
   * @throws UserException if that leads nowhere
   */
  static Path place(Path target) {
    try {
      return Files.isSymbolicLink(target) ? target.toRealPath() : target.toAbsolutePath();
    } catch (IOException e) {
      throw new UserException(target + " is a symbolic link to nowhere: name another file", e);
    }
  }

  /** The other name, beside the place and not taken by another run. */
  static Path temporary(Path place) {
    String unique = Long.toHexString(ProcessHandle.current().pid() ^ System.nanoTime());
    return place.resolveSibling("." + place.getFileName() + "." + unique + ".tmp");
  }

  /**
   * Sees that there is nothing in the place that a file cannot replace.
   *
   * @throws UserException if there is
   */
  static void requireReplaceable(Path place) {
    if (Files.isDirectory(place)) {
      throw new UserException(place + " is a folder: give the name of a file to write");
    }
    if (Files.exists(place) && !Files.isRegularFile(place)) {
      throw new UserException(place + " is a device or pipe: give the name of a file to write");
    }
    if (Files.exists(place) && !Files.isWritable(place)) {
      throw new UserException(place + " is write-protected: give another name");
    }
  }

  /** The message for a file that the operating system does not take. */
  static UserException unwritable(Path place, IOException e) {
    boolean noFolder = e instanceof NoSuchFileException;
    String reason = noFolder ? "its folder does not exist: create it" : UserException.reason(e);
    return new UserException(place + " cannot be written: " + reason, e);
  }
}
