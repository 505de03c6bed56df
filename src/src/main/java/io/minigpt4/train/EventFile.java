package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * A file of numbers for TensorBoard: records as TensorFlow's {@code record_writer.cc} frames them
 * (length, its checksum, content, its checksum), each a protocol buffer {@code Event} of {@code
 * event.proto}.
 */
final class EventFile implements AutoCloseable {
  private static final int MASK = 0xA282EAD8;
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int FIXED32 = 5;

  private final Path file;
  private final FileChannel out;

  /**
   * Makes one that TensorBoard finds.
   *
   * @param folder is there
   * @param start names the file, so that those of a run and of its resumptions are kept apart
   * @throws UserException if it cannot be written
   */
  EventFile(Path folder, long start) {
    file = folder.resolve("events.out.tfevents." + start + ".minigpt4");
    try {
      out =
          FileChannel.open(
              file,
              StandardOpenOption.CREATE,
              StandardOpenOption.WRITE,
              StandardOpenOption.TRUNCATE_EXISTING);
    } catch (IOException e) {
      throw unwritable(e);
    }
    Message version = new Message();
    version.bytes(3, "brain.Event:2".getBytes(StandardCharsets.UTF_8));
    event(version, 0);
  }

  private UserException unwritable(IOException e) {
    return new UserException(file + " cannot be written: " + UserException.reason(e), e);
  }

  /** A protocol buffer message being made. */
  private static final class Message {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    private void varint(long value) {
      long rest = value;
      while ((rest & ~0x7FL) != 0) {
        bytes.write((int) ((rest & 0x7F) | 0x80));
        rest >>>= 7;
      }
      bytes.write((int) rest);
    }

    private void tag(int field, int wireType) {
      varint(((long) field << 3) | wireType);
    }

    void number(int field, long value) {
      tag(field, VARINT);
      varint(value);
    }

    void fixed(int field, double value) {
      tag(field, FIXED64);
      bytes.writeBytes(little(8).putDouble(value).array());
    }

    void fixed(int field, float value) {
      tag(field, FIXED32);
      bytes.writeBytes(little(4).putFloat(value).array());
    }

    void bytes(int field, byte[] value) {
      tag(field, BYTES);
      varint(value.length);
      bytes.writeBytes(value);
    }

    byte[] done() {
      return bytes.toByteArray();
    }
  }

  private static ByteBuffer little(int size) {
    return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** Adds numbers of a step; those that are not finite are left out. */
  void scalars(long step, Map<String, Double> values) {
    Message summary = new Message();
    values.forEach(
        (name, value) -> {
          if (Double.isFinite(value)) {
            Message scalar = new Message();
            scalar.bytes(1, name.getBytes(StandardCharsets.UTF_8));
            scalar.fixed(2, value.floatValue());
            summary.bytes(1, scalar.done());
          }
        });
    Message event = new Message();
    event.bytes(5, summary.done());
    event(event, step);
  }

  private void event(Message event, long step) {
    event.fixed(1, System.currentTimeMillis() / 1e3);
    event.number(2, step);
    byte[] content = event.done();
    byte[] length = little(8).putLong(content.length).array();
    ByteBuffer record = little(16 + content.length);
    record.put(length).putInt(masked(length)).put(content).putInt(masked(content)).flip();
    try {
      while (record.hasRemaining()) {
        out.write(record);
      }
    } catch (IOException e) {
      throw unwritable(e);
    }
  }

  /** The checksum that a record has: CRC-32C, turned and shifted, as it may hold checksums. */
  private static int masked(byte[] of) {
    CRC32C checksum = new CRC32C();
    checksum.update(of);
    int value = (int) checksum.getValue();
    return Integer.rotateRight(value, 15) + MASK;
  }

  @Override
  public void close() {
    try {
      out.close();
    } catch (IOException e) {
      throw unwritable(e);
    }
  }
}
