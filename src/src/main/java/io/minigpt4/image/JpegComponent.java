package io.minigpt4.image;

/** One colour component of a JPEG: its sampling, tables, coefficients and samples. */
final class JpegComponent {
  /** The identifier that scans refer to it by. */
  final int id;

  /** Horizontal sampling factor, 1–4. */
  final int across;

  /** Vertical sampling factor, 1–4. */
  final int down;

  /** Number of its quantisation table, 0–3. */
  final int quantiser;

  /** Size in samples, without padding. */
  int width;

  int height;

  /** Blocks in a row and in a column, as a scan of this component alone codes them. */
  int blocksAcross;

  int blocksDown;

  /** Blocks in a row as stored, padded to whole minimum coded units. */
  int storedAcross;

  int storedDown;

  /** DC prediction. */
  int previousDc;

  /** Quantised coefficients in natural order, block after block; only of progressive files. */
  short[] coefficients = {};

  /** Samples, {@code 8 · storedAcross} a row. */
  byte[] samples = {};

  JpegComponent(int id, int across, int down, int quantiser) {
    this.id = id;
    this.across = across;
    this.down = down;
    this.quantiser = quantiser;
  }

  int stride() {
    return 8 * storedAcross;
  }
}
