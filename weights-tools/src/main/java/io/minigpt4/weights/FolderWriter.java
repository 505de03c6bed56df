package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.SafeTensorsWriter;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.Stream;

/**
 * Writes a folder of SafeTensors shards and small files beside them, tensor by tensor. While it is
 * written there is {@link Checkpoints#UNFINISHED} in it, with which it does not load; the shards
 * that this file lists are whole, so that a run that was stopped can be taken up again. A lock
 * keeps a second run away.
 *
 * <p>Not safe for use by several threads.
 */
final class FolderWriter implements AutoCloseable {
  /** Hears how far the work is, in bytes. */
  interface Progress {
    void bytes(long done, long total);
  }

  private static final String LOCK = ".lock";
  private static final Set<String> BEGINNINGS =
      Set.of(LOCK, Journal.temporary(Checkpoints.UNFINISHED));

  private final Path folder;
  private final FileChannel lockFile;
  private final FileLock lock;
  private final Journal journal;

  private FolderWriter(Path folder, FileChannel lockFile, FileLock lock, Journal journal) {
    this.folder = folder;
    this.lockFile = lockFile;
    this.lock = lock;
    this.journal = journal;
  }

  /**
   * Begins a folder, or goes on with one that a run of the same task left unfinished.
   *
   * @param folder new, empty, or unfinished
   * @param task what is written out of what; a folder begun with another task is refused
   * @throws UserException if the folder holds something else, another run is writing it, or it
   *     cannot be written
   */
  static FolderWriter open(Path folder, String task) {
    if (Files.exists(folder, LinkOption.NOFOLLOW_LINKS) && !Files.isDirectory(folder)) {
      throw new UserException(folder + " is there and is no folder: name a new folder");
    }
    try {
      Files.createDirectories(folder);
      refuseForeign(folder);
      FileChannel channel =
          FileChannel.open(
              folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      try {
        FileLock lock = lock(channel, folder);
        // Whoever held the lock until now may have finished.
        refuseForeign(folder);
        Journal journal = journal(folder, task);
        removeLeftovers(folder);
        journal.writeUnfinished(folder);
        return new FolderWriter(folder, channel, lock, journal);
      } catch (IOException | RuntimeException e) {
        channel.close();
        throw e;
      }
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  private static FileLock lock(FileChannel channel, Path folder) throws IOException {
    FileLock lock;
    try {
      lock = channel.tryLock();
    } catch (OverlappingFileLockException e) {
      lock = null;
    }
    if (lock == null) {
      throw new UserException(
          folder + " is being written by another run: wait for it, or name another folder");
    }
    return lock;
  }

  /**
   * A folder that holds anything and was not begun by us is not ours to write into. A run that was
   * killed, or found the disk full, before it had begun may have left a lock and half a journal.
   */
  private static void refuseForeign(Path folder) throws IOException {
    if (Files.exists(folder.resolve(Checkpoints.UNFINISHED))) {
      return;
    }
    try (Stream<Path> files = Files.list(folder)) {
      List<String> others =
          files
              .map(f -> f.getFileName().toString())
              .filter(n -> !BEGINNINGS.contains(n))
              .sorted()
              .toList();
      if (!others.isEmpty()) {
        throw new UserException(
            folder
                + " is not empty ("
                + others.getFirst()
                + (others.size() == 1 ? "" : " and " + (others.size() - 1) + " more")
                + "): name a new folder");
      }
    }
  }

  private static Journal journal(Path folder, String task) {
    Path file = folder.resolve(Checkpoints.UNFINISHED);
    Journal fresh = Journal.of(task);
    if (!Files.exists(file)) {
      return fresh;
    }
    Journal journal;
    try {
      journal = Journal.read(file);
    } catch (UserException e) {
      throw new UserException(
          file + " is damaged, so that nothing can go on there: delete the folder to begin anew",
          e);
    }
    if (!journal.task().equals(fresh.task())) {
      throw new UserException(
          folder
              + " was begun from other files or with other options: give the same ones to go on,"
              + " or delete the folder to begin anew");
    }
    return journal;
  }

  /** Temporary files of a run that was killed. */
  private static void removeLeftovers(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : files.toList()) {
        String name = file.getFileName().toString();
        if (name.startsWith(".") && name.endsWith(".tmp")) {
          Files.delete(file);
        }
      }
    }
  }

  /** How many files of an earlier run are kept. */
  int kept() {
    return journal.done().size();
  }

  /**
   * Writes the tensors, those left out that an earlier run has written and that are still as it
   * left them.
   *
   * @param tensors in the order in which they are divided among files
   * @param shardBytes most bytes of tensors in a file
   * @throws UserException if they cannot be written; there is an early complaint when the disk has
   *     too little room
   */
  void writeTensors(List<? extends PlannedTensor> tensors, long shardBytes, Progress progress) {
    ShardPlan plan = new ShardPlan(tensors, shardBytes);
    checkDone(plan);
    long total = tensors.stream().mapToLong(PlannedTensor::bytes).sum();
    long done = 0;
    for (int i = 0; i < plan.count(); i++) {
      done += journal.done().containsKey(plan.fileName(i)) ? plan.bytes(i) : 0;
    }
    checkRoom(total - done);
    for (int i = 0; i < plan.count(); i++) {
      String name = plan.fileName(i);
      if (!journal.done().containsKey(name)) {
        journal.done().put(name, writeShard(plan.tensors(i), name, done, total, progress));
        note();
        done += plan.bytes(i);
      }
    }
    if (plan.count() > 1) {
      writeText("model.safetensors.index.json", index(plan, total));
    }
  }

  /** Drops from the journal what is not, or no longer, as it says. */
  private void checkDone(ShardPlan plan) {
    Map<String, Journal.Done> found = new LinkedHashMap<>();
    for (int i = 0; i < plan.count(); i++) {
      String name = plan.fileName(i);
      Journal.Done claimed = journal.done().get(name);
      if (claimed != null && claimed.equals(Checksums.ofFile(folder.resolve(name)))) {
        found.put(name, claimed);
      }
    }
    journal.done().clear();
    journal.done().putAll(found);
  }

  private void checkRoom(long bytes) {
    try {
      long free = Files.getFileStore(folder).getUsableSpace();
      if (free < bytes) {
        throw new UserException(
            folder
                + " needs "
                + Sizes.show(bytes)
                + ", but its disk has "
                + Sizes.show(free)
                + " left: make room and run the same command again, or name a folder elsewhere");
      }
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  private Journal.Done writeShard(
      List<PlannedTensor> tensors, String name, long before, long total, Progress progress) {
    Map<String, PlannedTensor> byName = new TreeMap<>();
    Checksums sum = new Checksums();
    try (SafeTensorsWriter writer = new SafeTensorsWriter(folder.resolve(name));
        StretchPipeline pipeline = new StretchPipeline(tensors)) {
      writer.metadata("format", "pt");
      for (PlannedTensor tensor : tensors) {
        writer.declare(tensor.name(), tensor.dtype(), tensor.shape());
        byName.put(tensor.name(), tensor);
      }
      writer.observe(sum::update);
      LongAdder done = new LongAdder();
      done.add(before);
      pipeline.make(
          writer.order().stream().map(next -> Objects.requireNonNull(byName.get(next))).toList(),
          (tensor, stretch) -> {
            writer.append(tensor.name(), stretch);
            done.add(stretch.byteSize());
            progress.bytes(done.sum(), total);
          });
      // A shard that a power cut takes away is found missing by its checksum.
      writer.commit(false);
    }
    return sum.done();
  }

  private static String index(ShardPlan plan, long total) {
    Map<String, String> files = new LinkedHashMap<>();
    for (int i = 0; i < plan.count(); i++) {
      for (PlannedTensor tensor : plan.tensors(i)) {
        files.put(tensor.name(), plan.fileName(i));
      }
    }
    Map<String, Object> root = new LinkedHashMap<>();
    root.put("metadata", Map.of("total_size", total));
    root.put("weight_map", files);
    return JsonText.of(root);
  }

  /** Writes a small file. */
  void writeText(String name, String text) {
    writeBytes(name, text.getBytes(StandardCharsets.UTF_8));
  }

  /** Writes a small file. */
  void writeBytes(String name, byte[] bytes) {
    try {
      Files.write(folder.resolve(name), bytes);
    } catch (IOException e) {
      throw unwritable(folder.resolve(name), e);
    }
    journal.done().put(name, Checksums.ofBytes(bytes));
  }

  /** Waits until the disk has everything, then lets the folder count as whole. */
  void finish() {
    try {
      journal.writeChecksums(folder);
      for (String name : journal.done().keySet()) {
        force(folder.resolve(name));
      }
      force(folder.resolve(Journal.CHECKSUMS));
      Files.delete(folder.resolve(Checkpoints.UNFINISHED));
      Files.deleteIfExists(folder.resolve(LOCK));
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  /** Waits until the disk has a file. */
  static void force(Path file) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.force(true);
    }
  }

  private void note() {
    try {
      journal.writeUnfinished(folder);
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  private static UserException unwritable(Path path, IOException e) {
    return new UserException(path + " cannot be written: " + UserException.reason(e), e);
  }

  /** Lets another run go on with the folder, if it is not finished. */
  @Override
  public void close() {
    try (FileChannel closing = lockFile) {
      if (closing.isOpen()) {
        lock.release();
      }
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }
}
