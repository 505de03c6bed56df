package io.minigpt4.config;

/** Bounds that no model of this kind comes near; they keep products of sizes in range. */
final class Limits {
  static final int WIDTH = 1 << 20;
  static final int LAYERS = 4096;
  static final int TOKENS = 1 << 24;

  private Limits() {}

  /** A number of heads that divides a width. */
  static int heads(ConfigNode node, String key, int width) {
    int heads = node.integer(key, 1, WIDTH);
    if (width % heads != 0) {
      throw node.get(key).unfit("a divisor of hidden_size " + width);
    }
    return heads;
  }

  /** A normalisation's epsilon. */
  static float epsilon(ConfigNode node, String key, double fallback) {
    return (float) node.number(key, fallback, 0, 1);
  }
}
