package io.minigpt4.kernels;

/** A ViT's first layer (Dosovitskiy et al. 2021) around its matrix product. */
public final class Patches {
  private static final int THREADS = 256;

  private final TypedKernel patches;
  private final TypedKernel positions;

  /**
   * @param library where the kernels come from
   */
  public Patches(KernelLibrary library) {
    patches = new TypedKernel(library, "patches", "mg_patches", 6);
    positions = new TypedKernel(library, "patches", "mg_patch_positions", 11);
  }

  /**
   * Patches as rows: out[b · n + i] = patch i of image b as [channels, patch, patch], filled with
   * zeros up to {@code rowWidth}; n = (size / patch)², in row-major order. Times a weight [W,
   * channels, patch, patch], filled up in the same way, this is a convolution of stride {@code
   * patch}.
   *
   * @param element type of out
   * @param pixels address of float32 [images, channels, size, size]
   * @param out address of [images · n, rowWidth]
   * @param rowWidth at least channels · patch²; a multiple of 8 makes rows that matrix products
   *     like
   * @throws IllegalArgumentException if rowWidth is too small
   */
  public void patches(
      long stream,
      Element element,
      long pixels,
      int images,
      int channels,
      int size,
      int patch,
      long out,
      int rowWidth) {
    if (rowWidth < channels * patch * patch) {
      throw new IllegalArgumentException(
          "rows of "
              + rowWidth
              + " do not hold patches of "
              + channels
              + "x"
              + patch
              + "x"
              + patch);
    }
    long side = size / patch;
    if (images == 0 || side == 0) {
      return;
    }
    patches
        .of(element)
        .with(pixels)
        .with(channels)
        .with(size)
        .with(patch)
        .with(out)
        .with(rowWidth)
        .launch(
            images * side * side, Grids.ceilDiv(Grids.chunks(rowWidth), THREADS), THREADS, stream);
  }

  /**
   * out[b, 0] = cls + position[0], out[b, 1 + i] = product[b, i] + bias + position[1 + i].
   *
   * @param element type of product and out
   * @param product address of image 0's [n, width]; may lie in out, one row behind its start
   * @param imageStride elements from image to image of product; (1 + n) · width if in out
   * @param n patches of an image
   * @param bias address of [width]
   * @param cls address of [width]
   * @param position address of [1 + n, width]
   * @param out address of [images · (1 + n), width]
   */
  public void positions(
      long stream,
      Element element,
      long product,
      long imageStride,
      int n,
      long bias,
      Element biasElement,
      long cls,
      Element clsElement,
      long position,
      Element positionElement,
      long out,
      int images,
      int width) {
    if (images == 0 || width == 0) {
      return;
    }
    positions
        .of(element)
        .with(product)
        .with(imageStride)
        .with(n)
        .with(bias)
        .with(biasElement.code())
        .with(cls)
        .with(clsElement.code())
        .with(position)
        .with(positionElement.code())
        .with(out)
        .with(width)
        .launch(images * (1L + n), Grids.ceilDiv(Grids.chunks(width), THREADS), THREADS, stream);
  }
}
