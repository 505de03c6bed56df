package io.minigpt4.image;

/**
 * The bits of a JPEG's entropy-coded segment (ITU-T T.81, section F.2.2.5), without the zero bytes
 * stuffed behind each 0xFF. A marker ends it.
 */
final class JpegBits {
  private final byte[] data;
  private final int end;
  private int position;
  private long buffer;
  private int available;

  JpegBits(byte[] data, int from, int end) {
    this.data = data;
    this.position = from;
    this.end = end;
  }

  /** Index of the first byte that was not taken: a marker's 0xFF, or the end of the data. */
  int position() {
    return position;
  }

  byte[] data() {
    return data;
  }

  /** Index behind the last byte of the file. */
  int end() {
    return end;
  }

  /** Starts again behind a marker. */
  void restart(int from) {
    position = from;
    buffer = 0;
    available = 0;
  }

  private void fill() {
    while (available <= 48 && position < end) {
      int b = data[position] & 0xFF;
      if (b == 0xFF) {
        if (position + 1 >= end || data[position + 1] != 0) {
          return;
        }
        position++;
      }
      position++;
      buffer = buffer << 8 | b;
      available += 8;
    }
  }

  /** The next 16 bits without taking them, with zeros behind the last one. */
  int peek16() {
    if (available < 16) {
      fill();
      if (available < 16) {
        return (int) (buffer << (16 - available)) & 0xFFFF;
      }
    }
    return (int) (buffer >> (available - 16)) & 0xFFFF;
  }

  /** Takes bits that were looked at. */
  void drop(int count) throws DecodeException {
    if (count > available) {
      if (position >= end) {
        throw DecodeException.truncated(JpegDecoder.FORMAT);
      }
      throw DecodeException.damaged(JpegDecoder.FORMAT, "the pixel data end too early");
    }
    available -= count;
  }

  /** Takes {@code count} bits, at most 16, as an unsigned number. */
  int take(int count) throws DecodeException {
    if (count == 0) {
      return 0;
    }
    int value = peek16() >> (16 - count);
    drop(count);
    return value;
  }

  /** Takes {@code count} bits as a signed number in JPEG's way (section F.2.2.1, EXTEND). */
  int takeSigned(int count) throws DecodeException {
    int value = take(count);
    return count > 0 && value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }
}
