package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ZipArchiveTest {
  private static final byte[] NAME = "far".getBytes(StandardCharsets.UTF_8);

  @TempDir Path dir;

  private static ByteBuffer buffer(int size) {
    return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
  }

  private static byte[] local() {
    return buffer(30 + NAME.length)
        .putInt(0x04034b50)
        .putShort(26, (short) NAME.length)
        .put(30, NAME)
        .array();
  }

  /** The directory of one stored entry, with its place and sizes in the zip64 field. */
  private static byte[] directory(long offset, long size, long directoryOffset) {
    ByteBuffer central = buffer(46 + NAME.length + 28);
    central.putInt(0x02014b50).putInt(20, -1).putInt(24, -1).putInt(42, -1);
    central.putShort(28, (short) NAME.length).putShort(30, (short) 28).put(46, NAME);
    int extra = 46 + NAME.length;
    central.putShort(extra, (short) 1).putShort(extra + 2, (short) 24);
    central.putLong(extra + 4, size).putLong(extra + 12, size).putLong(extra + 20, offset);
    int bytes = central.capacity();
    ByteBuffer end64 = buffer(56).putInt(0x06064b50).putLong(32, 1).putLong(40, bytes);
    end64.putLong(48, directoryOffset);
    ByteBuffer locator = buffer(20).putInt(0x07064b50).putLong(8, directoryOffset + bytes);
    ByteBuffer end = buffer(22).putInt(0x06054b50).putShort(10, (short) -1);
    end.putInt(12, -1).putInt(16, -1);
    return buffer(bytes + 56 + 20 + 22)
        .put(central.rewind())
        .put(end64.rewind())
        .put(locator.rewind())
        .put(end.rewind())
        .array();
  }

  private Path farEntry(long offset, long claimedOffset, long claimedSize) throws IOException {
    Path file = dir.resolve("far.zip");
    try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(0);
      sparse.write(local());
      sparse.seek(offset);
      sparse.write(local());
      sparse.write(new byte[] {42, 43});
      long directoryOffset = sparse.getFilePointer();
      sparse.write(directory(claimedOffset, claimedSize, directoryOffset));
    }
    return file;
  }

  @Test
  void findsEntriesBeyondFourGigabytes() throws IOException {
    long offset = (1L << 32) + 77;
    Path file = farEntry(offset, offset, 2);
    try (Arena arena = Arena.ofConfined()) {
      ZipArchive zip = ZipArchive.read("far.zip", MappedFile.map(file, arena));
      ZipArchive.Entry entry = Objects.requireNonNull(zip.find("far"));
      MemorySegment bytes = zip.bytes(entry, arena);
      assertThat(bytes.toArray(ValueLayout.JAVA_BYTE)).containsExactly(42, 43);
      assertThat(bytes.isMapped()).isTrue();
    }
  }

  @Test
  void refusesEntriesOutsideTheFile() throws IOException {
    for (long offset : new long[] {101, Long.MAX_VALUE, -1, 1L << 40}) {
      Path file = farEntry(100, offset, 2);
      assertThatThrownBy(() -> read(file))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("entry 'far' is not where the directory says");
    }
    for (long size : new long[] {1 << 20, Long.MAX_VALUE, -1}) {
      Path file = farEntry(100, 100, size);
      assertThatThrownBy(() -> read(file))
          .isInstanceOf(UserException.class)
          .hasMessageContaining("entry 'far' has wrong sizes");
    }
  }

  private static void read(Path file) {
    try (Arena arena = Arena.ofConfined()) {
      ZipArchive.read("far.zip", MappedFile.map(file, arena));
    }
  }
}
