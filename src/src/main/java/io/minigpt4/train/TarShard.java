package io.minigpt4.train;

import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A tar archive (POSIX.1-1988 ustar, with GNU's and pax's long names) whose members with one
 * basename, one after the other, are a sample. Samples are found by their headers and read later.
 */
final class TarShard implements AutoCloseable {
  private static final int BLOCK = 512;
  private static final long MOST_NAME = 1 << 16;

  /** A member larger than this is no picture and no caption. */
  private static final long MOST_MEMBER = 256L << 20;

  private final Path file;
  private final FileChannel channel;
  private final long size;

  /** A member's content, and where the next header is. */
  private record Member(String name, long start, long length, long next) {
    /** The name up to the first dot of its last part. */
    String base() {
      int dot = name.indexOf('.', name.lastIndexOf('/') + 1);
      return dot < 0 ? name : name.substring(0, dot);
    }

    String extension() {
      return name.substring(Math.min(name.length(), base().length() + 1)).toLowerCase(Locale.ROOT);
    }
  }

  /**
   * Opens one.
   *
   * @throws UserException if it cannot be read
   */
  TarShard(Path file) {
    this.file = file;
    try {
      channel = FileChannel.open(file);
      size = channel.size();
    } catch (IOException e) {
      throw AlignmentFolder.unreadable(file, e);
    }
  }

  /**
   * Where the sample that starts at an offset ends.
   *
   * @return the offset of the next one, or −1 if there is no sample any more
   * @throws UserException if the archive breaks off or is none
   */
  long endOfSample(long start) {
    try {
      Member first = member(start);
      if (first == null) {
        return -1;
      }
      long end = first.next;
      for (Member m = member(end); m != null && m.base().equals(first.base()); m = member(end)) {
        end = m.next;
      }
      return end;
    } catch (IOException e) {
      throw AlignmentFolder.unreadable(file, e);
    }
  }

  /** The members of the sample that starts at an offset, by extension. */
  Map<String, byte[]> read(long start) {
    Map<String, byte[]> members = new LinkedHashMap<>();
    try {
      String base = null;
      for (Member m = member(start); m != null; m = member(m.next)) {
        if (base != null && !base.equals(m.base())) {
          break;
        }
        base = m.base();
        members.put(m.extension(), bytes(m.start, (int) m.length));
      }
    } catch (IOException e) {
      throw AlignmentFolder.unreadable(file, e);
    }
    return members;
  }

  /** The next regular member from an offset on; null at the end. */
  private @Nullable Member member(long from) throws IOException {
    String longName = null;
    long at = from;
    while (at + BLOCK <= size) {
      byte[] header = bytes(at, BLOCK);
      if (header[0] == 0) {
        return null;
      }
      if (!isHeader(header)) {
        throw new UserException(
            at > 0
                ? file + " is damaged at byte " + at
                : isGzip(header)
                    ? file + " is compressed: unpack it with gunzip"
                    : file + " is no tar archive, or damaged at its beginning");
      }
      long length = octal(header, 124, 12, at);
      long start = at + BLOCK;
      long next = start + (length + BLOCK - 1) / BLOCK * BLOCK;
      if (start + length > size || length > MOST_MEMBER) {
        throw new UserException(file + " breaks off within the member at byte " + at);
      }
      int type = header[156];
      if (type == 'L' && length <= MOST_NAME) {
        longName = text(bytes(start, (int) length), 0, (int) length);
      } else if (type == 'x' && length <= MOST_NAME) {
        longName = paxPath(new String(bytes(start, (int) length), StandardCharsets.UTF_8));
      } else if (type == '0' || type == 0) {
        String name = text(header, 0, 100);
        String prefix = header[257] == 'u' ? text(header, 345, 155) : "";
        String whole = prefix.isEmpty() ? name : prefix + "/" + name;
        return new Member(longName == null ? whole : longName, start, length, next);
      }
      at = next;
    }
    if (at < size) {
      throw new UserException(
          at == 0 ? file + " is no tar archive" : file + " breaks off at byte " + at);
    }
    return null;
  }

  private static boolean isGzip(byte[] header) {
    return header[0] == 0x1f && header[1] == (byte) 0x8b;
  }

  /** Whether the sum of the bytes is the one that the header states. */
  private static boolean isHeader(byte[] header) {
    int sum = 8 * ' ';
    for (int i = 0; i < BLOCK; i++) {
      sum += i >= 148 && i < 156 ? 0 : header[i] & 0xFF;
    }
    String stated = text(header, 148, 8).strip();
    return stated.matches("[0-7]{1,7}") && Integer.parseInt(stated, 8) == sum;
  }

  private long octal(byte[] header, int from, int length, long at) {
    String digits = text(header, from, length).strip();
    if (!digits.matches("[0-7]{1,11}")) {
      throw new UserException(file + " has a member of no plain size at byte " + at);
    }
    return Long.parseLong(digits, 8);
  }

  private static String text(byte[] bytes, int from, int length) {
    int end = from;
    while (end < from + length && bytes[end] != 0) {
      end++;
    }
    return new String(bytes, from, end - from, StandardCharsets.UTF_8);
  }

  /** The path among pax records, each {@code LENGTH KEY=VALUE\n}. */
  private static @Nullable String paxPath(String records) {
    for (String line : records.split("\n", -1)) {
      int key = line.indexOf(" path=");
      if (key > 0) {
        return line.substring(key + " path=".length());
      }
    }
    return null;
  }

  private byte[] bytes(long from, int length) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(length);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, from + buffer.position()) < 0) {
        throw new UserException(file + " breaks off at byte " + (from + buffer.position()));
      }
    }
    return buffer.array();
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw new UserException(file + " cannot be closed: " + e.getMessage(), e);
    }
  }
}
