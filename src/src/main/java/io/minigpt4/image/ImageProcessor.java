package io.minigpt4.image;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.random.RandomGenerator;

/**
 * Turns pictures into the vision transformer's input: resized to a square regardless of aspect,
 * divided by 255, normalised by CLIP's mean and standard deviation of each channel, all in float32
 * and in torchvision's order, so that the values are the same to the bit.
 */
public final class ImageProcessor {
  /** CLIP's mean of red, green, blue. */
  private static final double[] MEAN = {0.48145466, 0.4578275, 0.40821073};

  /** CLIP's standard deviation of red, green, blue. */
  private static final double[] STD = {0.26862954, 0.26130258, 0.27577711};

  private static final int CHANNELS = 3;

  private final int size;
  private final float[][] values = new float[CHANNELS][256];

  /**
   * @param size side of the square, in pixels (224 in the published model)
   * @throws IllegalArgumentException if it is not positive
   */
  public ImageProcessor(int size) {
    if (size < 1) {
      throw new IllegalArgumentException("image size " + size);
    }
    this.size = size;
    for (int c = 0; c < CHANNELS; c++) {
      for (int v = 0; v < 256; v++) {
        values[c][v] = (v / 255f - (float) MEAN[c]) / (float) STD[c];
      }
    }
  }

  /** Side of the square, in pixels. */
  public int size() {
    return size;
  }

  /**
   * The transform of chat and evaluation ({@code blip2_image_eval}): the whole picture.
   *
   * @param out dense F32 [3, size, size] or [1, 3, size, size], written
   * @throws IllegalArgumentException if out has another shape or type
   */
  public void evaluation(Picture picture, Tensor out) {
    MemorySegment to = check(out);
    normalise(Resize.bicubic(picture, size, size), to);
  }

  /**
   * The transform of training ({@code blip2_image_train}): a random part of the picture, see {@link
   * RandomResizedCrop#TRAINING}. The same generator in the same state draws the same part.
   *
   * @param out dense F32 [3, size, size] or [1, 3, size, size], written
   * @throws IllegalArgumentException if out has another shape or type
   */
  public void training(Picture picture, RandomGenerator random, Tensor out) {
    MemorySegment to = check(out);
    CropWindow window = RandomResizedCrop.TRAINING.draw(picture.width(), picture.height(), random);
    normalise(Resize.bicubic(picture.crop(window), size, size), to);
  }

  private MemorySegment check(Tensor out) {
    boolean shape =
        out.rank() >= 3
            && out.dim(-1) == size
            && out.dim(-2) == size
            && out.dim(-3) == CHANNELS
            && out.elements() == (long) CHANNELS * size * size;
    if (!shape || out.dtype() != DType.F32 || !out.isDense()) {
      throw new IllegalArgumentException(out + " is no F32[3, " + size + ", " + size + "]");
    }
    return out.segment();
  }

  private void normalise(Picture square, MemorySegment to) {
    byte[] rgb = square.rgb();
    int plane = size * size;
    for (int c = 0; c < CHANNELS; c++) {
      float[] table = values[c];
      for (int i = 0; i < plane; i++) {
        float v = table[rgb[CHANNELS * i + c] & 0xFF];
        to.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, (long) c * plane + i, v);
      }
    }
  }
}
