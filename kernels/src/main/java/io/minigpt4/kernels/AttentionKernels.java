package io.minigpt4.kernels;

import java.util.ArrayList;
import java.util.List;

/**
 * An attention kernel that there is for several widths of heads, {@code NAME_d64_f16} and so on.
 * The smallest that a head fits into takes it, the rest filled up with zeros.
 */
final class AttentionKernels {
  /** log₂(e): the kernels compute powers of two. */
  static final double LOG2_E = 1 / Math.log(2);

  /** Query rows of a block, and keys of a tile. */
  static final int TILE = 64;

  /** Threads of a block. */
  static final int THREADS = 128;

  /** So that offsets of a tile's elements are 32-bit numbers. */
  private static final long MAX_STRIDE = 1L << 25;

  private final String name;
  private final int[] widths;
  private final List<TypedKernel> kernels = new ArrayList<>();
  private final boolean tiles;

  /**
   * @param file the module
   * @param name the kernels' name without width and type
   * @param parameters how many they have
   * @param tiles whether they keep tiles in dynamic shared memory ({@code attention_tile.cuh})
   * @param widths ascending
   */
  AttentionKernels(
      KernelLibrary library,
      String file,
      String name,
      int parameters,
      boolean tiles,
      int... widths) {
    this.name = name;
    this.widths = widths.clone();
    this.tiles = tiles;
    for (int i = 0; i < widths.length; i++) {
      String kernel = name + "_d" + widths[i];
      kernels.add(new TypedKernel(library, file, kernel, parameters, sharedBytes(i)));
    }
  }

  /** Index of the width for a head, for the other methods. */
  int index(Element element, int headDim) {
    if (element == Element.F32) {
      throw new IllegalArgumentException(name + " takes F16 and BF16, not F32");
    }
    if (headDim > 0 && headDim % Grids.CHUNK == 0) {
      for (int i = 0; i < widths.length; i++) {
        if (headDim <= widths[i]) {
          return i;
        }
      }
    }
    throw new IllegalArgumentException(
        name + " takes heads of 8, 16, ... " + widths[widths.length - 1] + ", not of " + headDim);
  }

  /** The kernel for a width. */
  Kernel of(Element element, int index) {
    return kernels.get(index).of(element);
  }

  /** Dynamic shared memory: keys and values of two stages, rows padded by 16 bytes. */
  int sharedBytes(int index) {
    return tiles ? 2 * 2 * TILE * (widths[index] + Grids.CHUNK) * 2 : 0;
  }

  /** Checks that rows can be read and written 16 bytes at a time. */
  void checkRows(String what, long address, long stride, int width) {
    if (address % 16 != 0 || stride % Grids.CHUNK != 0 || stride < width || stride > MAX_STRIDE) {
      throw new IllegalArgumentException(
          "%s: %s at 0x%x with rows of %d every %d elements is not aligned to 16 bytes or too wide"
              .formatted(name, what, address, width, stride));
    }
  }

  /** Key/value heads must divide the query heads. */
  void checkHeads(int heads, int kvHeads) {
    if (kvHeads < 1 || heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          name + ": " + heads + " heads cannot share " + kvHeads + " key/value heads");
    }
  }
}
