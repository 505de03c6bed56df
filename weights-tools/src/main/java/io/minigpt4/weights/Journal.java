package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.config.ConfigNode;
import io.minigpt4.config.JsonFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What is done of a folder: files with their sizes and checksums. It is the folder's {@link
 * Checkpoints#UNFINISHED} while that is written, and its {@link #CHECKSUMS} afterwards.
 */
final class Journal {
  /** Holds the checksums of a finished folder. */
  static final String CHECKSUMS = "checksums.json";

  /**
   * A file that is done.
   *
   * @param crc32c CRC-32C of its bytes, eight hexadecimal digits
   */
  record Done(long bytes, String crc32c) {}

  private final String task;
  private final Map<String, Done> done = new LinkedHashMap<>();

  /**
   * @param task tells one task from another
   */
  private Journal(String task) {
    this.task = task;
  }

  /**
   * An empty one.
   *
   * @param task says what is written out of what; only its hash is kept, as it names files of the
   *     user's
   */
  static Journal of(String task) {
    return new Journal(Checksums.sha256(task));
  }

  /** Reads one. */
  static Journal read(Path file) {
    ConfigNode root = JsonFile.read(file);
    Journal journal = new Journal(root.text("task", ""));
    ConfigNode files = root.object("files");
    for (String name : files.keys()) {
      ConfigNode entry = files.object(name);
      long bytes = (long) entry.number("bytes", -1, -1, 1e18);
      journal.done.put(name, new Done(bytes, entry.text("crc32c", "")));
    }
    return journal;
  }

  String task() {
    return task;
  }

  Map<String, Done> done() {
    return done;
  }

  /** Writes it as what is done so far, whole or not at all. */
  void writeUnfinished(Path folder) throws IOException {
    write(folder.resolve(Checkpoints.UNFINISHED), text(true));
  }

  /** Writes it as the checksums of a finished folder. */
  void writeChecksums(Path folder) throws IOException {
    write(folder.resolve(CHECKSUMS), text(false));
  }

  /** Under what name a file is written before it is whole. */
  static String temporary(String name) {
    return "." + name + ".tmp";
  }

  private static void write(Path file, String text) throws IOException {
    Path temporary = file.resolveSibling(temporary(file.getFileName().toString()));
    try {
      Files.writeString(temporary, text);
      // Or a power cut may leave the name without its content.
      FolderWriter.force(temporary);
      Files.move(
          temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      Files.deleteIfExists(temporary);
      throw e;
    }
  }

  private static Map<String, Object> entry(Done file) {
    Map<String, Object> entry = new LinkedHashMap<>();
    entry.put("bytes", file.bytes());
    entry.put("crc32c", file.crc32c());
    return entry;
  }

  private String text(boolean withTask) {
    Map<String, Object> files = new LinkedHashMap<>();
    done.forEach((name, file) -> files.put(name, entry(file)));
    Map<String, Object> root = new LinkedHashMap<>();
    if (withTask) {
      root.put("task", task);
    }
    root.put("files", files);
    return JsonText.of(root);
  }
}
