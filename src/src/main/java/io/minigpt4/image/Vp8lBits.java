package io.minigpt4.image;

/** The bits of a lossless WebP stream, least significant first. */
final class Vp8lBits {
  private final byte[] data;
  private final int end;
  private int position;
  private long buffer;
  private int available;

  Vp8lBits(ByteCursor in) {
    this.data = in.data();
    this.position = in.position();
    this.end = in.end();
  }

  /** The next bits, at most 32, without taking them; zeros behind the last one. */
  int peek(int count) {
    while (available < count && position < end) {
      buffer |= (long) (data[position++] & 0xFF) << available;
      available += 8;
    }
    return (int) (buffer & ((1L << count) - 1));
  }

  void drop(int count) throws DecodeException {
    if (count > available) {
      throw DecodeException.truncated(WebpDecoder.FORMAT);
    }
    buffer >>>= count;
    available -= count;
  }

  int take(int count) throws DecodeException {
    int value = peek(count);
    drop(count);
    return value;
  }

  boolean flag() throws DecodeException {
    return take(1) == 1;
  }
}
