package io.minigpt4.image;

/** CMYK to RGB without a colour profile, by Pillow's formula. */
final class Inks {
  private Inks() {}

  /**
   * One channel: what cyan, magenta or yellow leaves of red, green or blue.
   *
   * @param ink 0 (none) – 255 (full)
   * @param black 0 (none) – 255 (full)
   */
  static byte toRgb(int ink, int black) {
    int light = 255 - black;
    int product = ink * light + 128;
    int taken = ((product >> 8) + product) >> 8; // ink · light / 255, rounded
    return (byte) Math.max(light - taken, 0);
  }
}
