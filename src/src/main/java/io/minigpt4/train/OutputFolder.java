package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The folder that a run writes to, as long as it does: no other run may, as each would replace the
 * other's checkpoints. A lock on a hidden file says so, which the operating system takes back when
 * the process ends, however it does.
 */
public final class OutputFolder implements AutoCloseable {
  private static final String LOCK = ".training.lock";
  private static final int MOST_WORDS = 100;

  private final Path folder;
  private final FileChannel channel;

  private OutputFolder(Path folder, FileChannel channel) {
    this.folder = folder;
    this.channel = channel;
  }

  /**
   * Takes a folder; where the file system has no locks, without one.
   *
   * @param folder made if it is not there
   * @throws UserException if another run writes to it, or nothing can be written there
   */
  public static OutputFolder take(Path folder) {
    Path file = folder.resolve(LOCK);
    try {
      Files.createDirectories(folder);
      FileChannel channel =
          FileChannel.open(
              file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
      try {
        if (isTaken(channel)) {
          throw new UserException(
              folder
                  + " is being written by another run"
                  + owner(channel)
                  + ": wait for its end, or choose another folder with --output");
        }
        String words = "process " + ProcessHandle.current().pid();
        channel.truncate(0);
        channel.write(ByteBuffer.wrap(words.getBytes(StandardCharsets.US_ASCII)), 0);
      } catch (IOException | RuntimeException e) {
        channel.close();
        throw e;
      }
      return new OutputFolder(folder, channel);
    } catch (FileAlreadyExistsException e) {
      throw new UserException(e.getFile() + " is a file: name a folder with --output", e);
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  private static UserException unwritable(Path folder, IOException e) {
    return new UserException(
        folder + " cannot be written: " + UserException.reason(e) + "; choose one with --output",
        e);
  }

  /** Whether another run holds the lock; else this one does from now on. */
  private static boolean isTaken(FileChannel channel) {
    @Nullable FileLock lock;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      return true;
    } catch (IOException e) {
      return false; // The file system has no locks; training must be possible there too.
    }
    return lock == null;
  }

  private static String owner(FileChannel channel) throws IOException {
    ByteBuffer words = ByteBuffer.allocate(MOST_WORDS);
    int length = channel.read(words, 0);
    return length <= 0
        ? ""
        : " (" + new String(words.array(), 0, length, StandardCharsets.US_ASCII) + ")";
  }

  /**
   * Removes what a run that was killed in the midst of writing a checkpoint left behind.
   *
   * @return how many such files there were
   * @throws UserException if they cannot be removed
   */
  public int removeLeftovers() {
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> leftovers = new ArrayList<>(files.filter(OutputFolder::isLeftover).toList());
      for (Path file : leftovers) {
        Files.delete(file);
      }
      return leftovers.size();
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  /** Checkpoints are written under such names and renamed when they are whole. */
  private static boolean isLeftover(Path file) {
    return String.valueOf(file.getFileName()).matches("\\.checkpoint_\\w+\\.pth\\.[0-9a-f]+\\.tmp");
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }
}
