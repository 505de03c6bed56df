package io.minigpt4.checkpoint;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.jspecify.annotations.Nullable;

/**
 * Writes files that {@code torch.load} reads, {@code weights_only} or not: the zip of PyTorch 1.6
 * and later, with a pickle of protocol 2. The file appears whole under its name, or not at all: it
 * is written beside it, forced to the disk and renamed.
 */
public final class TorchWriter {
  private static final String FOLDER = "archive/";

  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private final DataOutputStream out = new DataOutputStream(bytes);
  private final List<Tensor> storages = new ArrayList<>();

  private TorchWriter() {}

  /**
   * Writes a file.
   *
   * @param root what is pickled: maps with keys of text or whole numbers, lists, texts, truth
   *     values, whole and floating-point numbers, null, and dense F32 tensors in host memory
   * @throws UserException if it cannot be written; what was there before is still there then
   */
  public static void write(Path target, Map<?, ?> root) {
    TorchWriter writer = new TorchWriter();
    Path place = TargetFile.place(target);
    TargetFile.requireReplaceable(place);
    Path temporary = TargetFile.temporary(place);
    try {
      try (FileChannel file =
          FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
        writer.zip(Channels.newOutputStream(file), root);
        file.force(true);
      }
      Files.move(
          temporary, place, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw TargetFile.unwritable(place, e);
    } finally {
      try {
        Files.deleteIfExists(temporary);
      } catch (IOException e) {
        // Nothing depends on it; the failure that left it there is being reported.
      }
    }
  }

  private void zip(OutputStream file, Map<?, ?> root) throws IOException {
    out.writeByte(0x80);
    out.writeByte(2);
    value(root);
    out.writeByte('.');
    ZipOutputStream zip = new ZipOutputStream(file);
    zip.setMethod(ZipOutputStream.STORED);
    entry(zip, "data.pkl", bytes.toByteArray());
    entry(zip, "byteorder", "little".getBytes(StandardCharsets.US_ASCII));
    for (int i = 0; i < storages.size(); i++) {
      entry(zip, "data/" + i, storages.get(i).segment().toArray(ValueLayout.JAVA_BYTE));
    }
    entry(zip, "version", "3\n".getBytes(StandardCharsets.US_ASCII));
    zip.finish();
  }

  private static void entry(ZipOutputStream zip, String name, byte[] content) throws IOException {
    ZipEntry entry = new ZipEntry(FOLDER + name);
    CRC32 crc = new CRC32();
    crc.update(content);
    entry.setSize(content.length);
    entry.setCompressedSize(content.length);
    entry.setCrc(crc.getValue());
    entry.setTime(0);
    zip.putNextEntry(entry);
    zip.write(content);
    zip.closeEntry();
  }

  private void value(@Nullable Object value) throws IOException {
    switch (value) {
      case null -> out.writeByte('N');
      case Boolean truth -> out.writeByte(truth ? 0x88 : 0x89);
      case Integer number -> whole(number);
      case Long number -> whole(number);
      case Double number -> {
        out.writeByte('G');
        out.writeDouble(number);
      }
      case String text -> text(text);
      case Tensor tensor -> tensor(tensor);
      case List<?> list -> {
        out.writeByte(']');
        out.writeByte('(');
        for (Object element : list) {
          value(element);
        }
        out.writeByte('e');
      }
      case Map<?, ?> map -> {
        out.writeByte('}');
        out.writeByte('(');
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          value(entry.getKey());
          value(entry.getValue());
        }
        out.writeByte('u');
      }
      default -> throw new IllegalArgumentException("cannot be pickled: " + value.getClass());
    }
  }

  private void text(String text) throws IOException {
    byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
    out.writeByte('X');
    out.writeInt(Integer.reverseBytes(utf8.length));
    out.write(utf8);
  }

  private void whole(long number) throws IOException {
    if (number == (int) number) {
      out.writeByte('J');
      out.writeInt(Integer.reverseBytes((int) number));
    } else {
      out.writeByte(0x8a);
      out.writeByte(8);
      out.writeLong(Long.reverseBytes(number));
    }
  }

  private void global(String module, String name) throws IOException {
    out.writeByte('c');
    out.write((module + "\n" + name + "\n").getBytes(StandardCharsets.US_ASCII));
  }

  /** A call of torch._utils._rebuild_tensor_v2, as PyTorch's own pickler writes it. */
  private void tensor(Tensor tensor) throws IOException {
    MemorySegment segment = tensor.segment();
    if (tensor.dtype() != DType.F32 || !tensor.isDense() || !segment.scope().isAlive()) {
      throw new IllegalArgumentException("cannot be pickled: " + tensor);
    }
    global("torch._utils", "_rebuild_tensor_v2");
    out.writeByte('(');
    out.writeByte('(');
    text("storage");
    global("torch", "FloatStorage");
    text(Integer.toString(storages.size()));
    text("cpu");
    whole(tensor.elements());
    out.writeByte('t');
    out.writeByte('Q');
    whole(0);
    out.writeByte('(');
    for (long dimension : tensor.shape()) {
      whole(dimension);
    }
    out.writeByte('t');
    out.writeByte('(');
    long stride = tensor.elements();
    for (long dimension : tensor.shape()) {
      stride /= Math.max(1, dimension);
      whole(stride);
    }
    out.writeByte('t');
    out.writeByte(0x89);
    global("collections", "OrderedDict");
    out.writeByte(')');
    out.writeByte('R');
    out.writeByte('t');
    out.writeByte('R');
    storages.add(tensor);
  }
}
