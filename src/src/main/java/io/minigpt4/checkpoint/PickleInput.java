package io.minigpt4.checkpoint;

import io.minigpt4.tensor.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/** Reads a pickle's bytes with a position that cannot leave its bounds. */
final class PickleInput {
  private static final int MAX_LINE = 1024;

  private final String where;
  private final MemorySegment bytes;
  private long position;

  /**
   * @param where the file, for messages
   * @param bytes nothing outside is read
   */
  PickleInput(String where, MemorySegment bytes) {
    this.where = where;
    this.bytes = bytes;
  }

  long position() {
    return position;
  }

  int u8() {
    return Byte.toUnsignedInt(take(1).get(ValueLayout.JAVA_BYTE, 0));
  }

  int u16() {
    return Short.toUnsignedInt(
        take(2).get(ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), 0));
  }

  int i32() {
    return take(4).get(ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN), 0);
  }

  long i64() {
    return take(8).get(SafeTensors.LENGTH, 0);
  }

  double bigEndianDouble() {
    return take(8).get(ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN), 0);
  }

  /** So many bytes; the claim is checked against what is there before anything is allocated. */
  byte[] bytes(long count) {
    return take(count).toArray(ValueLayout.JAVA_BYTE);
  }

  String utf8(long count) {
    ByteBuffer encoded = ByteBuffer.wrap(bytes(count));
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(encoded).toString();
    } catch (CharacterCodingException e) {
      throw malformed("a string is not UTF-8");
    }
  }

  /** Text up to a line feed. */
  String line() {
    long end = position;
    while (end < bytes.byteSize() && bytes.get(ValueLayout.JAVA_BYTE, end) != '\n') {
      end++;
      if (end - position > MAX_LINE) {
        throw malformed("a name has no end");
      }
    }
    String line = utf8(end - position);
    take(1);
    return line;
  }

  UserException malformed(String reason) {
    return new UserException(
        where
            + " is not a valid PyTorch file: "
            + reason
            + " (at byte "
            + position
            + " of a pickle)");
  }

  private MemorySegment take(long count) {
    if (count < 0 || count > bytes.byteSize() - position) {
      throw malformed("it ends too early, or claims more than is there");
    }
    MemorySegment taken = bytes.asSlice(position, count);
    position += count;
    return taken;
  }
}
