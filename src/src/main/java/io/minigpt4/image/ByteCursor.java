package io.minigpt4.image;

/**
 * Reads numbers from a range of bytes, one after another. Reading past the end is the picture's
 * fault and says so.
 */
final class ByteCursor {
  private final byte[] data;
  private final int end;
  private final String format;
  private int position;

  ByteCursor(byte[] data, String format) {
    this(data, 0, data.length, format);
  }

  /**
   * @param end index after the last byte that may be read
   * @param format the format's name, for messages
   */
  ByteCursor(byte[] data, int from, int end, String format) {
    this.data = data;
    this.position = from;
    this.end = end;
    this.format = format;
  }

  byte[] data() {
    return data;
  }

  int position() {
    return position;
  }

  int end() {
    return end;
  }

  int remaining() {
    return end - position;
  }

  /** Moves to an absolute index. */
  void seek(long index) throws DecodeException {
    if (index < 0 || index > end) {
      throw DecodeException.truncated(format);
    }
    position = (int) index;
  }

  /** Throws unless so many bytes are left. */
  void need(long bytes) throws DecodeException {
    if (bytes < 0 || bytes > remaining()) {
      throw DecodeException.truncated(format);
    }
  }

  void skip(long bytes) throws DecodeException {
    need(bytes);
    position += (int) bytes;
  }

  /** The next bytes as a cursor of their own; this one moves behind them. */
  ByteCursor slice(long bytes) throws DecodeException {
    need(bytes);
    ByteCursor part = new ByteCursor(data, position, position + (int) bytes, format);
    position += (int) bytes;
    return part;
  }

  int u8() throws DecodeException {
    need(1);
    return data[position++] & 0xFF;
  }

  int u16be() throws DecodeException {
    need(2);
    int v = (data[position] & 0xFF) << 8 | (data[position + 1] & 0xFF);
    position += 2;
    return v;
  }

  int u16le() throws DecodeException {
    return Short.toUnsignedInt(Short.reverseBytes((short) u16be()));
  }

  int u24le() throws DecodeException {
    int low = u16le();
    return low | u8() << 16;
  }

  int i32be() throws DecodeException {
    int high = u16be();
    return high << 16 | u16be();
  }

  int i32le() throws DecodeException {
    return Integer.reverseBytes(i32be());
  }

  long u32be() throws DecodeException {
    return Integer.toUnsignedLong(i32be());
  }

  long u32le() throws DecodeException {
    return Integer.toUnsignedLong(i32le());
  }

  /** Whether the bytes at the position are these ASCII characters. */
  boolean startsWith(String ascii) {
    return matches(data, position, end, ascii);
  }

  /** Whether the bytes from an index are these characters (each below 256). */
  static boolean matches(byte[] data, int from, int end, String text) {
    if (end - from < text.length()) {
      return false;
    }
    for (int i = 0; i < text.length(); i++) {
      if ((data[from + i] & 0xFF) != text.charAt(i)) {
        return false;
      }
    }
    return true;
  }
}
