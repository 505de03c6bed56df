package io.minigpt4.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Writes a SafeTensors file: declare all tensors, write their values in any order, {@link #commit}.
 * The file appears under its name, whole, on commit; until then, and for ever if closed without it,
 * what was there before stays.
 *
 * <p>Tensors of whole cache lines, which are nearly all, come first, by name, and lie at multiples
 * of a line: so they do in memory when the file is mapped. The others follow, those of wider types
 * first, as the Python library sorts all of them, so that each is aligned to its elements.
 *
 * <p>Not safe for use by several threads.
 */
public final class SafeTensorsWriter implements AutoCloseable {
  /** The one name that no tensor can have. */
  public static final String RESERVED = SafeTensorsHeader.METADATA;

  /** Wider types first, so that all are aligned. */
  private static final List<DType> ORDER =
      List.of(
          DType.I64,
          DType.F64,
          DType.F32,
          DType.I32,
          DType.BF16,
          DType.F16,
          DType.I16,
          DType.I8,
          DType.U8,
          DType.BOOL);

  /** Bytes of a cache line. */
  private static final int ALIGNMENT = 64;

  private static final int CHUNK = 1 << 20;

  private record Declared(String name, DType dtype, List<Long> shape) {
    long bytes() {
      return shape.stream().reduce(1L, Math::multiplyExact) * dtype.bytes();
    }
  }

  private final Path target;
  private final Path temporary;
  private final Map<String, String> metadata = new LinkedHashMap<>();
  private final Map<String, Declared> declared = new LinkedHashMap<>();
  private final Map<String, Long> positions = new LinkedHashMap<>();
  private final Map<String, Long> appended = new HashMap<>();
  private final Set<String> written = new HashSet<>();
  private @Nullable FileChannel channel;
  private @Nullable WriteBehind behind;
  private @Nullable Consumer<ByteBuffer> observer;
  private boolean headerWritten;

  /**
   * @param target replaced on {@link #commit}
   */
  public SafeTensorsWriter(Path target) {
    this.target = TargetFile.place(target);
    this.temporary = TargetFile.temporary(this.target);
  }

  /**
   * Writes a whole file at once.
   *
   * @throws UserException if it cannot be written
   */
  public static void write(Path target, Map<String, Tensor> tensors, Map<String, String> metadata) {
    try (SafeTensorsWriter writer = new SafeTensorsWriter(target)) {
      metadata.forEach(writer::metadata);
      tensors.forEach((name, tensor) -> writer.declare(name, tensor.dtype(), tensor.shape()));
      tensors.forEach(writer::write);
      writer.commit();
    }
  }

  /**
   * Makes sure that the file can be written, before the work is done that gives its contents.
   *
   * @throws UserException if it cannot
   */
  public void reserve() {
    try {
      file();
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /**
   * Shows everything that is written to somebody, in the order of writing; that is the file's order
   * if tensors are written in {@link #order}. Before the first {@link #write}.
   */
  public void observe(Consumer<ByteBuffer> watching) {
    checkHeaderOpen();
    observer = watching;
  }

  /** The names of the declared tensors in the order in which their data lies in the file. */
  public List<String> order() {
    return ordered().stream().map(Declared::name).toList();
  }

  /** Adds a text to the file's metadata. Before the first {@link #write}. */
  public void metadata(String key, String value) {
    checkHeaderOpen();
    metadata.put(key, value);
  }

  /**
   * Announces a tensor. Before the first {@link #write}.
   *
   * @throws IllegalArgumentException if the name is taken, the shape is not one, or files have no
   *     such type
   */
  public void declare(String name, DType dtype, long... shape) {
    checkHeaderOpen();
    if (dtype.isQuantised()) {
      throw new IllegalArgumentException("files have no type " + dtype + ": declare its parts");
    }
    Tensor.elements(shape);
    Declared d = new Declared(name, dtype, Arrays.stream(shape).boxed().toList());
    if (name.equals(RESERVED) || declared.putIfAbsent(name, d) != null) {
      throw new IllegalArgumentException("the name '" + name + "' is taken");
    }
  }

  /**
   * Writes a tensor's values.
   *
   * @param tensor of the declared type and shape; rows may be apart
   * @throws UserException if the file cannot be written
   */
  public void write(String name, Tensor tensor) {
    Declared d = declared.get(name);
    boolean fits =
        d != null
            && d.dtype() == tensor.dtype()
            && d.shape().equals(Arrays.stream(tensor.shape()).boxed().toList());
    if (!fits) {
      throw new IllegalArgumentException(tensor + " was not declared as '" + name + "'");
    }
    try {
      FileChannel out = open();
      Long position = positions.get(name);
      if (position == null || !written.add(name)) {
        throw new IllegalArgumentException("'" + name + "' was written before");
      }
      if (tensor.isDense()) {
        writeAll(out, tensor.segment(), position);
      } else {
        writeRows(out, tensor, position);
      }
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /**
   * Writes the next bytes of a tensor that is written bit by bit, in row-major order.
   *
   * @param bytes elements of the declared type; any number of them
   * @throws UserException if the file cannot be written
   */
  public void append(String name, MemorySegment bytes) {
    Declared d = declared.get(name);
    if (d == null || written.contains(name)) {
      throw new IllegalArgumentException("'" + name + "' is not declared, or written already");
    }
    long before = appended.getOrDefault(name, 0L);
    long after = before + bytes.byteSize();
    if (after > d.bytes()) {
      throw new IllegalArgumentException("'" + name + "' has no more than " + d.bytes() + " bytes");
    }
    try {
      FileChannel out = open();
      writeAll(out, bytes, Objects.requireNonNull(positions.get(name)) + before);
    } catch (IOException e) {
      throw unwritable(e);
    }
    appended.put(name, after);
    if (after == d.bytes()) {
      written.add(name);
    }
  }

  /**
   * Puts the file in its place, once the disk has it.
   *
   * @throws IllegalStateException if a declared tensor was not written
   * @throws UserException if the file cannot be written
   */
  public void commit() {
    commit(true);
  }

  /**
   * Puts the file in its place.
   *
   * @param forced whether to wait until the disk has it; if not, the file's name may survive a
   *     power cut without its content
   * @throws IllegalStateException if a declared tensor was not written
   * @throws UserException if the file cannot be written
   */
  public void commit(boolean forced) {
    if (!written.containsAll(declared.keySet())) {
      Set<String> left = new HashSet<>(declared.keySet());
      left.removeAll(written);
      throw new IllegalStateException("not written yet: " + left);
    }
    try {
      FileChannel out = open();
      if (behind != null) {
        behind.finish();
      }
      if (forced) {
        out.force(true);
      }
      out.close();
      Files.move(
          temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /** Removes what was written, unless it was committed. */
  @Override
  public void close() {
    if (behind != null) {
      behind.close();
    }
    if (channel == null) {
      return;
    }
    try {
      channel.close();
      Files.deleteIfExists(temporary);
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  private void checkHeaderOpen() {
    if (headerWritten) {
      throw new IllegalStateException("the header is written already");
    }
  }

  /** The temporary file, made when it is first asked for. */
  private FileChannel file() throws IOException {
    FileChannel out = channel;
    if (out == null) {
      TargetFile.requireReplaceable(target);
      out = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
      channel = out;
      behind = new WriteBehind(out);
      temporary.toFile().deleteOnExit(); // for Ctrl-C, which passes close by
    }
    return out;
  }

  /** The temporary file with its header written. */
  private FileChannel open() throws IOException {
    FileChannel out = file();
    if (!headerWritten) {
      headerWritten = true;
      byte[] json = header();
      int padding = Math.floorMod(-(Long.BYTES + json.length), ALIGNMENT);
      ByteBuffer start =
          ByteBuffer.allocate(Long.BYTES + json.length + padding).order(ByteOrder.LITTLE_ENDIAN);
      start.putLong(json.length + padding).put(json);
      while (start.hasRemaining()) {
        start.put((byte) ' ');
      }
      writeAll(out, MemorySegment.ofArray(start.array()), 0);
      positions.replaceAll((name, offset) -> offset + start.capacity());
    }
    return out;
  }

  private List<Declared> ordered() {
    List<Declared> ordered = new ArrayList<>(declared.values());
    ordered.sort(
        Comparator.comparingInt(
                (Declared d) -> d.bytes() % ALIGNMENT == 0 ? -1 : ORDER.indexOf(d.dtype()))
            .thenComparing(Declared::name));
    return ordered;
  }

  private byte[] header() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (JsonGenerator json = new JsonFactory().createGenerator(bytes)) {
      json.writeStartObject();
      if (!metadata.isEmpty()) {
        json.writeObjectFieldStart(RESERVED);
        for (Map.Entry<String, String> e : metadata.entrySet()) {
          json.writeStringField(e.getKey(), e.getValue());
        }
        json.writeEndObject();
      }
      long offset = 0;
      for (Declared d : ordered()) {
        positions.put(d.name(), offset);
        json.writeObjectFieldStart(d.name());
        json.writeStringField("dtype", d.dtype().name());
        json.writeArrayFieldStart("shape");
        for (long dim : d.shape()) {
          json.writeNumber(dim);
        }
        json.writeEndArray();
        json.writeArrayFieldStart("data_offsets");
        json.writeNumber(offset);
        offset = Math.addExact(offset, d.bytes());
        json.writeNumber(offset);
        json.writeEndArray();
        json.writeEndObject();
      }
      json.writeEndObject();
    }
    return bytes.toByteArray();
  }

  private void writeRows(FileChannel out, Tensor tensor, long position) throws IOException {
    int elementBytes = tensor.dtype().bytes();
    long rowBytes = tensor.width() * elementBytes;
    if (rowBytes == 0) {
      return;
    }
    long rowsAtOnce = Math.clamp(CHUNK / rowBytes, 1, tensor.rows());
    MemorySegment staging = MemorySegment.ofArray(new byte[Math.toIntExact(rowsAtOnce * rowBytes)]);
    for (long row = 0; row < tensor.rows(); row += rowsAtOnce) {
      long count = Math.min(rowsAtOnce, tensor.rows() - row);
      for (long i = 0; i < count; i++) {
        long source = (row + i) * tensor.rowStride() * elementBytes;
        MemorySegment.copy(tensor.segment(), source, staging, i * rowBytes, rowBytes);
      }
      writeAll(out, staging.asSlice(0, count * rowBytes), position + row * rowBytes);
    }
  }

  private void writeAll(FileChannel out, MemorySegment bytes, long position) throws IOException {
    for (long at = 0; at < bytes.byteSize(); at += CHUNK) {
      ByteBuffer chunk = bytes.asSlice(at, Math.min(CHUNK, bytes.byteSize() - at)).asByteBuffer();
      long start = position + at;
      if (observer != null) {
        observer.accept(chunk.duplicate());
      }
      while (chunk.hasRemaining()) {
        start += out.write(chunk, start);
      }
    }
    if (behind != null) {
      behind.wrote(bytes.byteSize());
    }
  }

  private UserException unwritable(IOException e) {
    return TargetFile.unwritable(target, e);
  }
}
