package io.minigpt4.image;

/** The quantiser steps of one segment of a VP8 frame (RFC 6386, sections 9.6 and 14.1). */
final class Vp8Quantiser {
  private static final int MAX_INDEX = 127;

  final int lumaDc;
  final int lumaAc;

  /** Of the block that holds the DC coefficients of luma. */
  final int secondDc;

  final int secondAc;
  final int chromaDc;
  final int chromaAc;

  /**
   * @param index 0–127, clamped
   * @param deltas what is added to the index for luma's DC, the second block's DC and AC, and
   *     chroma's DC and AC
   */
  Vp8Quantiser(int index, int[] deltas) {
    lumaDc = step(Vp8Tables.DC_STEPS, index + deltas[0], MAX_INDEX);
    lumaAc = step(Vp8Tables.AC_STEPS, index, MAX_INDEX);
    secondDc = 2 * step(Vp8Tables.DC_STEPS, index + deltas[1], MAX_INDEX);
    secondAc = Math.max(step(Vp8Tables.AC_STEPS, index + deltas[2], MAX_INDEX) * 155 / 100, 8);
    chromaDc = step(Vp8Tables.DC_STEPS, index + deltas[3], 117);
    chromaAc = step(Vp8Tables.AC_STEPS, index + deltas[4], MAX_INDEX);
  }

  private static int step(int[] table, int index, int most) {
    return table[Math.clamp(index, 0, most)];
  }
}
