package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A file that {@code torch.save} wrote before PyTorch 1.6: five pickles — a magic number, the
 * protocol's version, facts about the machine, the object, the storages' keys — and then each
 * storage as a count of elements (8 bytes) and its bytes.
 */
final class TorchStream {
  private static final BigInteger MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
  private static final long PROTOCOL = 1001;

  private final String where;
  private final MemorySegment file;
  private final TorchTree tree;
  private final Map<String, TorchStorage> known = new HashMap<>();
  private final Map<String, MemorySegment> storages = new HashMap<>();
  private long position;

  private TorchStream(String where, MemorySegment file) {
    this.where = where;
    this.file = file;
    if (!MAGIC.equals(pickle())) {
      throw new UserException(
          where + " is a pickle, but not one that torch.save wrote: its magic number is missing");
    }
    if (!Long.valueOf(PROTOCOL).equals(pickle())) {
      throw bad("its protocol version is not " + PROTOCOL);
    }
    if (pickle() instanceof Map<?, ?> system && Boolean.FALSE.equals(system.get("little_endian"))) {
      throw new UserException(
          where + " was written on a big-endian machine, which is not supported: convert it there");
    }
    this.tree = TorchTree.of(where, pickle());
    if (!(pickle() instanceof List<?> keys)) {
      throw bad("the list of its storages is missing");
    }
    keys.forEach(this::locate);
    for (TorchTensor tensor : tree.tensors().values()) {
      if (!storages.containsKey(tensor.storage().key())) {
        throw bad("storage '" + tensor.storage().key() + "' is missing");
      }
    }
  }

  /** Reads the description of the tensors in a stream. */
  static TorchStream read(String where, MemorySegment file) {
    return new TorchStream(where, file);
  }

  TorchTree tree() {
    return tree;
  }

  /** A storage's bytes, in place. */
  MemorySegment bytes(TorchStorage storage) {
    MemorySegment bytes = storages.get(storage.key());
    if (bytes == null) {
      throw bad("storage '" + storage.key() + "' is missing");
    }
    return bytes;
  }

  private Object pickle() {
    long length = Math.min(TorchZip.MAX_PICKLE, file.byteSize() - position);
    PickleInput in = new PickleInput(where, file.asSlice(position, length));
    Object value = new Unpickler(where, in, this::remember).load();
    position += in.position();
    return value;
  }

  private void remember(TorchStorage storage) {
    TorchStorage other = known.putIfAbsent(storage.key(), storage);
    boolean same =
        other == null
            || (other.dtype() == storage.dtype() && other.elements() == storage.elements());
    if (!same) {
      throw bad("storage '" + storage.key() + "' is described in two ways");
    }
  }

  private void locate(Object key) {
    TorchStorage storage = key instanceof String ? known.get(key) : null;
    if (storage == null) {
      throw bad("storage '" + key + "' belongs to no tensor");
    }
    long left = file.byteSize() - position - 8;
    if (left < 0 || storage.bytes() > left) {
      throw new UserException(
          where
              + " is truncated: the bytes of storage '"
              + key
              + "' are missing; download or copy it again");
    }
    long count = file.get(SafeTensors.LENGTH, position);
    if (count != storage.elements()) {
      throw bad("storage '" + key + "' has " + count + " elements, not " + storage.elements());
    }
    if (storages.put(storage.key(), file.asSlice(position + 8, storage.bytes())) != null) {
      throw bad("storage '" + key + "' occurs twice");
    }
    position += 8 + storage.bytes();
  }

  private UserException bad(String reason) {
    return new UserException(where + " is not a valid PyTorch file: " + reason);
  }
}
