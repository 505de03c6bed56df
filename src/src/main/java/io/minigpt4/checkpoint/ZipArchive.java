package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;

/**
 * The directory of a mapped zip file (PKWARE's APPNOTE 6.3, zip64 included), which tells where
 * stored entries lie, so that they can be used in place — what {@code java.util.zip} keeps to
 * itself.
 */
final class ZipArchive {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private static final int END = 0x06054b50;
  private static final int END_SIZE = 22;
  private static final int END64 = 0x06064b50;
  private static final int END64_SIZE = 56;
  private static final int LOCATOR64 = 0x07064b50;
  private static final int LOCATOR64_SIZE = 20;
  private static final int CENTRAL = 0x02014b50;
  private static final int CENTRAL_SIZE = 46;
  private static final int LOCAL = 0x04034b50;
  private static final int LOCAL_SIZE = 30;
  private static final int MAX_COMMENT = 0xffff;
  private static final long IN_ZIP64 = 0xffffffffL;
  private static final int STORED = 0;
  private static final int DEFLATED = 8;
  private static final int ENCRYPTED = 1;

  /** A deflated entry may be this many times as large as its compressed form, plus a mebibyte. */
  private static final long MAX_EXPANSION = 100;

  private static final long FREE_EXPANSION = 1 << 20;

  /**
   * An entry.
   *
   * @param method 0 stored, 8 deflated
   * @param start first byte of its (compressed) data in the file
   * @param compressed bytes in the file
   * @param size bytes after expansion
   * @param crc CRC-32 of the expanded bytes; 0 if none was written
   */
  record Entry(String name, int method, long start, long compressed, long size, int crc) {
    boolean isStored() {
      return method == STORED;
    }
  }

  private final String where;
  private final MemorySegment file;
  private final Map<String, Entry> entries = new LinkedHashMap<>();

  private ZipArchive(String where, MemorySegment file) {
    this.where = where;
    this.file = file;
  }

  /**
   * Reads the directory.
   *
   * @param where the file's name, for messages
   * @throws UserException if it is truncated or malformed
   */
  static ZipArchive read(String where, MemorySegment file) {
    ZipArchive archive = new ZipArchive(where, file);
    archive.readDirectory();
    return archive;
  }

  /** The entry of a name, or null. */
  @Nullable Entry find(String name) {
    return entries.get(name);
  }

  /** All entries, in the directory's order. */
  Collection<Entry> entries() {
    return Collections.unmodifiableCollection(entries.values());
  }

  /**
   * An entry's bytes: in place if it is stored, else expanded into new memory.
   *
   * @param arena owns the memory of an expanded entry
   * @throws UserException if it does not expand to what the directory says, or looks like a bomb
   */
  MemorySegment bytes(Entry entry, Arena arena) {
    MemorySegment raw = file.asSlice(entry.start(), entry.compressed());
    return entry.isStored() ? raw : inflate(entry, raw, arena);
  }

  /**
   * Checks an entry's bytes against its checksum. A checksum of zero stands for none: {@code
   * torch.save} writes it after {@code torch.serialization.set_crc32_options(False)}, and {@code
   * torch.load} looks at none.
   *
   * @return whether there is a checksum
   * @throws UserException if they differ
   */
  boolean verify(Entry entry, MemorySegment bytes) {
    if (entry.crc() == 0) {
      return false;
    }
    CRC32 crc = new CRC32();
    for (long at = 0; at < bytes.byteSize(); at += 1 << 20) {
      crc.update(bytes.asSlice(at, Math.min(1 << 20, bytes.byteSize() - at)).asByteBuffer());
    }
    if ((int) crc.getValue() != entry.crc()) {
      throw bad(
          "entry '"
              + entry.name()
              + "' is damaged (its checksum differs); download or copy it again");
    }
    return true;
  }

  private void readDirectory() {
    long end = findEnd();
    long count = Short.toUnsignedLong(file.get(SHORT, end + 10));
    long size = Integer.toUnsignedLong(file.get(INT, end + 12));
    long offset = Integer.toUnsignedLong(file.get(INT, end + 16));
    long directoryEnd = end;
    long locator = end - LOCATOR64_SIZE;
    if (locator >= 0 && file.get(INT, locator) == LOCATOR64) {
      long end64 = locator - END64_SIZE;
      if (end64 < 0 || file.get(INT, end64) != END64) {
        throw bad("its zip64 directory end is not where it should be");
      }
      count = file.get(LONG, end64 + 32);
      size = file.get(LONG, end64 + 40);
      offset = file.get(LONG, end64 + 48);
      directoryEnd = end64;
    }
    // Bytes before the archive (a launcher script, say) shift everything by as much.
    long shift = directoryEnd - size - offset;
    if (size < 0 || size > directoryEnd || offset < 0 || offset > directoryEnd || shift < 0) {
      throw bad("its directory does not lie inside the file");
    }
    if (count < 0 || count > size / CENTRAL_SIZE) {
      throw bad("its directory is too small for " + Long.toUnsignedString(count) + " entries");
    }
    long at = directoryEnd - size;
    for (long i = 0; i < count; i++) {
      at = readEntry(at, directoryEnd, directoryEnd - size, shift);
    }
  }

  private long findEnd() {
    long last = file.byteSize() - END_SIZE;
    for (long at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
      if (file.get(INT, at) == END
          && at + END_SIZE + Short.toUnsignedLong(file.get(SHORT, at + 20)) == file.byteSize()) {
        return at;
      }
    }
    throw new UserException(
        where
            + " is truncated: the zip directory at its end is missing; download or copy it again");
  }

  private long readEntry(long at, long end, long directoryStart, long shift) {
    if (at + CENTRAL_SIZE > end || file.get(INT, at) != CENTRAL) {
      throw bad("its directory is damaged");
    }
    int flags = file.get(SHORT, at + 8);
    int method = Short.toUnsignedInt(file.get(SHORT, at + 10));
    int crc = file.get(INT, at + 16);
    long compressed = Integer.toUnsignedLong(file.get(INT, at + 20));
    long size = Integer.toUnsignedLong(file.get(INT, at + 24));
    int nameBytes = Short.toUnsignedInt(file.get(SHORT, at + 28));
    int extraBytes = Short.toUnsignedInt(file.get(SHORT, at + 30));
    int commentBytes = Short.toUnsignedInt(file.get(SHORT, at + 32));
    long local = Integer.toUnsignedLong(file.get(INT, at + 42));
    long next = at + CENTRAL_SIZE + nameBytes + extraBytes + commentBytes;
    if (next > end) {
      throw bad("its directory is damaged");
    }
    byte[] nameUtf8 = file.asSlice(at + CENTRAL_SIZE, nameBytes).toArray(ValueLayout.JAVA_BYTE);
    String name = new String(nameUtf8, StandardCharsets.UTF_8);
    Zip64 wide = new Zip64(file.asSlice(at + CENTRAL_SIZE + nameBytes, extraBytes));
    size = wide.orWide(size);
    compressed = wide.orWide(compressed);
    local = wide.orWide(local);
    if ((flags & ENCRYPTED) != 0 || (method != STORED && method != DEFLATED)) {
      throw bad("entry '" + name + "' is encrypted or compressed in a way that is not supported");
    }
    long start = dataStart(name, local, shift, directoryStart);
    boolean fits = size >= 0 && compressed >= 0 && compressed <= directoryStart - start;
    if (!fits || (method == STORED && size != compressed)) {
      throw bad("entry '" + name + "' has wrong sizes");
    }
    if (entries.put(name, new Entry(name, method, start, compressed, size, crc)) != null) {
      throw bad("entry '" + name + "' occurs twice");
    }
    return next;
  }

  private long dataStart(String name, long local, long shift, long directoryStart) {
    long at = local + shift;
    if (local < 0 || at < 0 || at > directoryStart - LOCAL_SIZE || file.get(INT, at) != LOCAL) {
      throw bad("entry '" + name + "' is not where the directory says");
    }
    long start =
        at
            + LOCAL_SIZE
            + Short.toUnsignedLong(file.get(SHORT, at + 26))
            + Short.toUnsignedLong(file.get(SHORT, at + 28));
    if (start > directoryStart) {
      throw bad("entry '" + name + "' is not where the directory says");
    }
    return start;
  }

  /** The zip64 extra field: 64-bit values for those header fields that are saturated, in order. */
  private final class Zip64 {
    private MemorySegment rest = MemorySegment.NULL;

    Zip64(MemorySegment extra) {
      for (long at = 0; at + 4 <= extra.byteSize(); ) {
        long length = Short.toUnsignedLong(extra.get(SHORT, at + 2));
        if (extra.get(SHORT, at) == 1 && at + 4 + length <= extra.byteSize()) {
          rest = extra.asSlice(at + 4, length);
          return;
        }
        at += 4 + length;
      }
    }

    long orWide(long value) {
      if (value != IN_ZIP64) {
        return value;
      }
      if (rest.byteSize() < 8) {
        throw bad("a zip64 field is missing");
      }
      long wide = rest.get(LONG, 0);
      rest = rest.asSlice(8);
      return wide;
    }
  }

  private MemorySegment inflate(Entry entry, MemorySegment raw, Arena arena) {
    if (entry.size() > FREE_EXPANSION + MAX_EXPANSION * entry.compressed()) {
      throw bad(
          "entry '"
              + entry.name()
              + "' would expand from "
              + entry.compressed()
              + " to "
              + entry.size()
              + " bytes, which looks like a zip bomb; repack it uncompressed");
    }
    MemorySegment out = arena.allocate(entry.size());
    Inflater inflater = new Inflater(true);
    try {
      long written = 0;
      long read = 0;
      while (!inflater.finished()) {
        if (inflater.needsInput()) {
          long length = Math.min(1 << 20, raw.byteSize() - read);
          if (length == 0) {
            throw bad("entry '" + entry.name() + "' ends too early");
          }
          inflater.setInput(raw.asSlice(read, length).asByteBuffer());
          read += length;
        }
        // One byte more than there is room for would show that the entry is too long.
        long room = Math.min(1 << 20, out.byteSize() - written);
        ByteBuffer target =
            room == 0 ? ByteBuffer.allocate(1) : out.asSlice(written, room).asByteBuffer();
        int n = inflater.inflate(target);
        written += n;
        if (written > out.byteSize() || inflater.needsDictionary()) {
          throw bad("entry '" + entry.name() + "' does not expand to the size that it claims");
        }
      }
      if (written != out.byteSize()) {
        throw bad("entry '" + entry.name() + "' does not expand to the size that it claims");
      }
      verify(entry, out);
      return out;
    } catch (DataFormatException e) {
      throw bad("entry '" + entry.name() + "' is damaged: " + e.getMessage());
    } finally {
      inflater.end();
    }
  }

  private UserException bad(String reason) {
    return new UserException(where + " is not a valid zip file: " + reason);
  }
}
