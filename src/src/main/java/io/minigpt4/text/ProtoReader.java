package io.minigpt4.text;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;

/**
 * Walks the fields of one Protocol Buffers message (wire format, proto2) that lies in a byte array.
 * Never reads outside its bounds and never allocates more than the bytes it was given.
 */
final class ProtoReader {
  static final int VARINT = 0;
  static final int FIXED64 = 1;
  static final int BYTES = 2;
  static final int FIXED32 = 5;

  private final byte[] data;
  private final int end;
  private int position;
  private int wireType;

  ProtoReader(byte[] data) {
    this(data, 0, data.length);
  }

  private ProtoReader(byte[] data, int start, int end) {
    this.data = data;
    this.position = start;
    this.end = end;
  }

  /** The bytes are not what the wire format allows; the message says why. */
  static final class FormatException extends Exception {
    private static final long serialVersionUID = 1L;

    FormatException(String message) {
      super(message);
    }
  }

  /** Number of the next field, or 0 at the end of the message. */
  int next() throws FormatException {
    if (position == end) {
      return 0;
    }
    long tag = varint();
    int field = (int) (tag >>> 3);
    wireType = (int) tag & 7;
    if (tag >>> 32 != 0 || field == 0) {
      throw new FormatException("bad field tag at byte " + position);
    }
    return field;
  }

  /** Skips the value of the field that {@link #next} announced. */
  void skip() throws FormatException {
    switch (wireType) {
      case VARINT -> varint();
      case FIXED64 -> advance(8);
      case BYTES -> advance(length());
      case FIXED32 -> advance(4);
      default -> throw new FormatException("unknown wire type " + wireType);
    }
  }

  /** An int32, bool or enum value. */
  int readInt() throws FormatException {
    expect(VARINT);
    return (int) varint();
  }

  boolean readBool() throws FormatException {
    expect(VARINT);
    return varint() != 0;
  }

  float readFloat() throws FormatException {
    expect(FIXED32);
    int at = advance(4);
    int bits = 0;
    for (int i = 3; i >= 0; i--) {
      bits = bits << 8 | (data[at + i] & 0xff);
    }
    return Float.intBitsToFloat(bits);
  }

  /** A string; must be valid UTF-8. */
  String readString() throws FormatException {
    expect(BYTES);
    int length = length();
    int at = advance(length);
    try {
      return StandardCharsets.UTF_8
          .newDecoder()
          .decode(ByteBuffer.wrap(data, at, length))
          .toString();
    } catch (CharacterCodingException e) {
      throw new FormatException("a string that is not UTF-8 at byte " + at);
    }
  }

  /** Length of a bytes value, whose content is skipped. */
  int readLength() throws FormatException {
    expect(BYTES);
    int length = length();
    advance(length);
    return length;
  }

  /** The nested message that the field holds. */
  ProtoReader readMessage() throws FormatException {
    expect(BYTES);
    int length = length();
    int at = advance(length);
    return new ProtoReader(data, at, at + length);
  }

  private void expect(int type) throws FormatException {
    if (wireType != type) {
      throw new FormatException("wire type " + wireType + " where " + type + " belongs");
    }
  }

  private int length() throws FormatException {
    long length = varint();
    if (length < 0 || length > end - position) {
      throw new FormatException("a field runs past the end at byte " + position);
    }
    return (int) length;
  }

  private int advance(int bytes) throws FormatException {
    if (bytes > end - position) {
      throw new FormatException("cut off at byte " + end);
    }
    int at = position;
    position += bytes;
    return at;
  }

  private long varint() throws FormatException {
    long value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      byte b = data[advance(1)];
      value |= (long) (b & 0x7f) << shift;
      if (b >= 0) {
        return value;
      }
    }
    throw new FormatException("a number of more than ten bytes at byte " + position);
  }
}
