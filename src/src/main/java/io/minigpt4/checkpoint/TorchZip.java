package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A zip written by {@code torch.save}: {@code NAME/data.pkl} describes the object, {@code
 * NAME/data/KEY} are the storages, {@code NAME/byteorder} says what it says.
 */
final class TorchZip {
  /** Far more than any model's description takes. */
  static final long MAX_PICKLE = 64 << 20;

  private static final String PICKLE = "/data.pkl";

  private final String where;
  private final Arena arena;
  private final ZipArchive zip;
  private final String prefix;
  private final TorchTree tree;
  private final Map<String, MemorySegment> expanded = new ConcurrentHashMap<>();

  private TorchZip(String where, ZipArchive zip, Arena arena) {
    this.where = where;
    this.arena = arena;
    this.zip = zip;
    ZipArchive.Entry pickle =
        zip.entries().stream()
            .filter(e -> e.name().indexOf('/') == e.name().length() - PICKLE.length())
            .filter(e -> e.name().endsWith(PICKLE))
            .findFirst()
            .orElseThrow(
                () ->
                    new UserException(
                        where + " is a zip file, but no PyTorch checkpoint: it has no data.pkl"));
    this.prefix = pickle.name().substring(0, pickle.name().length() - PICKLE.length());
    checkByteOrder();
    if (pickle.size() > MAX_PICKLE) {
      throw bad(pickle.name() + " takes " + pickle.size() + " bytes, more than any model needs");
    }
    MemorySegment bytes = zip.bytes(pickle, arena);
    zip.verify(pickle, bytes);
    Unpickler unpickler = new Unpickler(where, new PickleInput(where, bytes), this::checkedEntry);
    this.tree = TorchTree.of(where, unpickler.load());
  }

  /** Reads the description of the tensors in a zip. */
  static TorchZip read(String where, MemorySegment file, Arena arena) {
    return new TorchZip(where, ZipArchive.read(where, file), arena);
  }

  TorchTree tree() {
    return tree;
  }

  /** A storage's bytes, in place if its entry is not compressed. */
  MemorySegment bytes(TorchStorage storage) {
    ZipArchive.Entry entry = checkedEntry(storage);
    if (entry.isStored()) {
      return zip.bytes(entry, arena);
    }
    return expanded.computeIfAbsent(storage.key(), key -> zip.bytes(entry, arena));
  }

  /**
   * Checks a storage's bytes against the checksum of its entry.
   *
   * @return whether it has one
   * @throws UserException if they differ
   */
  boolean verify(TorchStorage storage) {
    return zip.verify(checkedEntry(storage), bytes(storage));
  }

  private ZipArchive.Entry checkedEntry(TorchStorage storage) {
    ZipArchive.Entry entry = zip.find(prefix + "/data/" + storage.key());
    if (entry == null) {
      throw bad("storage '" + storage.key() + "' is missing");
    }
    if (entry.size() != storage.bytes()) {
      throw bad(
          "storage '"
              + storage.key()
              + "' has "
              + entry.size()
              + " bytes where "
              + storage.bytes()
              + " are expected");
    }
    return entry;
  }

  private void checkByteOrder() {
    ZipArchive.Entry entry = zip.find(prefix + "/byteorder");
    if (entry == null || entry.size() > 16) {
      return;
    }
    byte[] order = zip.bytes(entry, arena).toArray(ValueLayout.JAVA_BYTE);
    if (new String(order, StandardCharsets.US_ASCII).equals("big")) {
      throw new UserException(
          where + " was written on a big-endian machine, which is not supported: convert it there");
    }
  }

  private UserException bad(String reason) {
    return new UserException(where + " is not a valid PyTorch file: " + reason);
  }
}
