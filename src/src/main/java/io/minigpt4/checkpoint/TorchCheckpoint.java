package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * A file written by {@code torch.save}: a zip, or before PyTorch 1.6 a stream of pickles with the
 * storages behind. Contiguous tensors of stored entries are views of the mapped file; strided ones,
 * and those of compressed entries, are copied when they are first asked for.
 *
 * <p>Names are those of the state dictionary, which may be the object itself or what it keeps under
 * {@code model}, {@code state_dict} or the like. What lies beside that — an optimizer's state, the
 * epoch, a configuration — is found under its path with dots: tensors by name, scalars in {@link
 * #metadata}.
 */
public final class TorchCheckpoint implements Checkpoint {
  /**
   * Bytes up to which a tensor that repeats elements of its storage (stride 0) is written out; the
   * bound keeps small files from asking for any amount of memory.
   */
  private static final long MAX_EXPANDED = 64 << 20;

  private final String where;
  private final String format;
  private final Arena arena;
  private final TorchTree tree;
  private final Function<TorchStorage, MemorySegment> storages;
  private final Predicate<TorchStorage> verifier;
  private final Map<TorchStorage, Boolean> verified = new ConcurrentHashMap<>();
  private final Map<String, Tensor> copies = new ConcurrentHashMap<>();

  private TorchCheckpoint(
      String where,
      String format,
      Arena arena,
      TorchTree tree,
      Function<TorchStorage, MemorySegment> storages,
      Predicate<TorchStorage> verifier) {
    this.where = where;
    this.format = format;
    this.arena = arena;
    this.tree = tree;
    this.storages = storages;
    this.verifier = verifier;
  }

  /**
   * Opens a file of either kind.
   *
   * @throws UserException if it is missing, unreadable, truncated, malformed, or asks for anything
   *     but tensors
   */
  public static TorchCheckpoint open(Path file) {
    return MappedFile.owning(arena -> of(file.toString(), arena, MappedFile.map(file, arena)));
  }

  /**
   * Reads a file that is in memory already.
   *
   * @param where what to call it in messages
   * @param arena owns {@code file}; closed by {@link #close}, but not when this method throws
   */
  static TorchCheckpoint of(String where, Arena arena, MemorySegment file) {
    if (FileType.of(file) == FileType.ZIP) {
      TorchZip zip = TorchZip.read(where, file, arena);
      return new TorchCheckpoint(where, "PyTorch", arena, zip.tree(), zip::bytes, zip::verify);
    }
    TorchStream stream = TorchStream.read(where, file);
    return new TorchCheckpoint(
        where, "PyTorch, legacy", arena, stream.tree(), stream::bytes, storage -> false);
  }

  private TorchTensor find(String name) {
    TorchTensor tensor = tree.tensors().get(name);
    if (tensor == null) {
      throw missing(name);
    }
    return tensor;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(tree.tensors().keySet());
  }

  @Override
  public DType dtype(String name) {
    return find(name).dtype();
  }

  @Override
  public long[] shape(String name) {
    return find(name).shape();
  }

  @Override
  public Tensor tensor(String name) {
    TorchTensor t = find(name);
    if (Tensor.elements(t.shape()) == 0) {
      return Tensor.of(t.dtype(), arena.allocate(0), t.shape());
    }
    if (!t.isContiguous()) {
      return copies.computeIfAbsent(name, n -> copy(n, t));
    }
    MemorySegment bytes = storages.apply(t.storage());
    return Tensor.of(t.dtype(), bytes.asSlice(t.offset() * t.dtype().bytes()), t.shape());
  }

  @Override
  public boolean verify(String name) {
    return verified.computeIfAbsent(find(name).storage(), verifier::test);
  }

  private Tensor copy(String name, TorchTensor t) {
    long size = Tensor.elements(t.shape()) * t.dtype().bytes();
    if (size > Math.max(MAX_EXPANDED, t.storage().bytes())) {
      throw new UserException(
          "tensor '"
              + name
              + "' in "
              + where
              + " repeats a storage of "
              + t.storage().bytes()
              + " bytes over "
              + size
              + ": save it again after calling contiguous() on it");
    }
    MemorySegment dense = arena.allocate(size, t.dtype().bytes());
    t.copy(storages.apply(t.storage()), dense);
    return Tensor.of(t.dtype(), dense, t.shape());
  }

  @Override
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(tree.scalars());
  }

  @Override
  public String describe() {
    return where + " (" + format + ", " + tree.tensors().size() + " tensors)";
  }

  @Override
  public String source(String name) {
    return where;
  }

  @Override
  public void close() {
    arena.close();
  }
}
