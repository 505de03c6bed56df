package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
import java.util.Set;

/**
 * A SafeTensors file: eight bytes with the header's length, a JSON header, the tensors' bytes
 * (https://huggingface.co/docs/safetensors). The file is mapped; tensors are views of it.
 */
public final class SafeTensors implements Checkpoint {
  static final ValueLayout.OfLong LENGTH =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final String where;
  private final Arena arena;
  private final SafeTensorsHeader header;
  private final MemorySegment data;

  /**
   * @param where what to call it in messages
   * @param arena owns {@code file}; closed by {@link #close}
   */
  private SafeTensors(String where, Arena arena, MemorySegment file) {
    this.where = where;
    this.arena = arena;
    if (file.byteSize() < 8) {
      throw new UserException(where + " is truncated: a SafeTensors file has at least 8 bytes");
    }
    long length = file.get(LENGTH, 0);
    if (length < 0 || length > SafeTensorsHeader.MAX_BYTES) {
      throw new UserException(
          where
              + " is not a valid SafeTensors file: its header claims "
              + Long.toUnsignedString(length)
              + " bytes, more than the limit of "
              + SafeTensorsHeader.MAX_BYTES);
    }
    if (length > file.byteSize() - 8) {
      throw new UserException(
          where
              + " is truncated: its header takes "
              + length
              + " bytes, "
              + (file.byteSize() - 8)
              + " are there; download or copy it again");
    }
    byte[] json = file.asSlice(8, length).toArray(ValueLayout.JAVA_BYTE);
    this.data = file.asSlice(8 + length);
    this.header = SafeTensorsHeader.parse(where, json, data.byteSize());
  }

  /**
   * Opens a file.
   *
   * @throws UserException if it is missing, unreadable, truncated or malformed
   */
  public static SafeTensors open(Path file) {
    return MappedFile.owning(
        arena -> new SafeTensors(file.toString(), arena, MappedFile.map(file, arena)));
  }

  /**
   * Opens a file that is a resource of the program. In a folder it is mapped; in a jar too, if the
   * jar keeps it uncompressed, else it is expanded into off-heap memory.
   *
   * @param anchor the class from whose place {@code name} is resolved
   * @param name as for {@link Class#getResource}
   * @throws UserException if there is no such resource, or it is malformed
   */
  public static SafeTensors ofResource(Class<?> anchor, String name) {
    URL url = anchor.getResource(name);
    if (url == null) {
      throw new UserException("this build of the program lacks its resource " + name);
    }
    return MappedFile.owning(arena -> new SafeTensors(name, arena, resource(url, name, arena)));
  }

  private static MemorySegment resource(URL url, String name, Arena arena) {
    try {
      if (url.getProtocol().equals("file")) {
        return MappedFile.map(Path.of(url.toURI()), arena);
      }
      if (url.openConnection() instanceof JarURLConnection jar
          && jar.getJarFileURL().getProtocol().equals("file")) {
        Path file = Path.of(jar.getJarFileURL().toURI());
        ZipArchive zip = ZipArchive.read(file.toString(), MappedFile.map(file, arena));
        ZipArchive.Entry entry = zip.find(jar.getEntryName());
        if (entry != null) {
          return zip.bytes(entry, arena);
        }
      }
      byte[] bytes;
      try (InputStream in = url.openStream()) {
        bytes = in.readAllBytes();
      }
      return arena.allocate(bytes.length).copyFrom(MemorySegment.ofArray(bytes));
    } catch (IOException | URISyntaxException e) {
      throw new UserException("the resource " + name + " cannot be read: " + e.getMessage(), e);
    }
  }

  private SafeTensorsHeader.Entry entry(String name) {
    SafeTensorsHeader.Entry entry = header.tensors().get(name);
    if (entry == null) {
      throw missing(name);
    }
    return entry;
  }

  @Override
  public Set<String> names() {
    return Collections.unmodifiableSet(header.tensors().keySet());
  }

  @Override
  public DType dtype(String name) {
    return entry(name).dtype();
  }

  @Override
  public long[] shape(String name) {
    return entry(name).shape();
  }

  @Override
  public Tensor tensor(String name) {
    SafeTensorsHeader.Entry e = entry(name);
    return Tensor.of(e.dtype(), data.asSlice(e.begin(), e.end() - e.begin()), e.shape());
  }

  @Override
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(header.metadata());
  }

  @Override
  public String describe() {
    return where + " (SafeTensors, " + header.tensors().size() + " tensors)";
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
