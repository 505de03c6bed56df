package io.minigpt4.image;

/** The boolean entropy decoder of VP8 (RFC 6386, section 7). */
final class Vp8Bits {
  private final byte[] data;
  private final int end;
  private int position;

  /** The window of 8 bits that is compared to the split, and {@code below} more bits below it. */
  private int value;

  private int below = -8;
  private int range = 255;
  private boolean overrun;

  Vp8Bits(ByteCursor in) {
    this.data = in.data();
    this.position = in.position();
    this.end = in.end();
  }

  /** Whether more bits were asked for than there are. */
  boolean overrun() {
    return overrun;
  }

  /** One bit that is 0 with a probability of {@code probability / 256}. */
  int bit(int probability) {
    if (below < 0) {
      load();
    }
    int split = 1 + (((range - 1) * probability) >> 8);
    int big = split << below;
    int bit;
    if (value >= big) {
      value -= big;
      range -= split;
      bit = 1;
    } else {
      range = split;
      bit = 0;
    }
    int shift = Integer.numberOfLeadingZeros(range) - 24;
    range <<= shift;
    below -= shift;
    return bit;
  }

  private void load() {
    int next = 0;
    if (position < end) {
      next = data[position++] & 0xFF;
    } else {
      overrun = true;
    }
    value = value << 8 | next;
    below += 8;
  }

  boolean flag() {
    return bit(128) == 1;
  }

  /** An unsigned number, highest bit first. */
  int number(int bits) {
    int v = 0;
    for (int i = 0; i < bits; i++) {
      v = v << 1 | bit(128);
    }
    return v;
  }

  /** A number followed by its sign. */
  int signed(int bits) {
    int v = number(bits);
    return flag() ? -v : v;
  }

  /** A flag, and behind it a signed number if it is set, else 0. */
  int optional(int bits) {
    return flag() ? signed(bits) : 0;
  }
}
