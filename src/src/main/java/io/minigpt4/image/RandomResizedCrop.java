package io.minigpt4.image;

import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the part of a picture that a training step sees, as torchvision's transform of that name:
 * a rectangle of random area and aspect ratio at a random place.
 *
 * @param minArea smallest part of the picture's area
 * @param maxArea largest part of the picture's area, at most 1
 * @param minRatio smallest width over height
 * @param maxRatio largest width over height
 */
public record RandomResizedCrop(double minArea, double maxArea, double minRatio, double maxRatio) {

  /** The training transform of MiniGPT-4: areas 0.5–1, ratios 3/4–4/3. */
  public static final RandomResizedCrop TRAINING =
      new RandomResizedCrop(0.5, 1.0, 3.0 / 4.0, 4.0 / 3.0);

  private static final int TRIES = 10;

  /**
   * @throws IllegalArgumentException unless 0 &lt; minArea ≤ maxArea ≤ 1 and 0 &lt; minRatio ≤
   *     maxRatio
   */
  public RandomResizedCrop {
    boolean areas = minArea > 0 && minArea <= maxArea && maxArea <= 1;
    if (!areas || !(minRatio > 0) || !(minRatio <= maxRatio)) {
      throw new IllegalArgumentException("bad range of areas or ratios");
    }
  }

  /**
   * Draws a rectangle: up to ten tries of an area (uniform) and a ratio (log-uniform) until one
   * fits the picture, then its place; when none fits, {@link #fallback}.
   */
  public CropWindow draw(int width, int height, RandomGenerator random) {
    double logMin = Math.log(minRatio);
    double logMax = Math.log(maxRatio);
    for (int i = 0; i < TRIES; i++) {
      double area = minArea + (maxArea - minArea) * random.nextDouble();
      double logRatio = logMin + (logMax - logMin) * random.nextDouble();
      CropWindow size = size(width, height, area, logRatio);
      if (size != null) {
        int top = random.nextInt(height - size.height() + 1);
        int left = random.nextInt(width - size.width() + 1);
        return new CropWindow(top, left, size.height(), size.width());
      }
    }
    return fallback(width, height);
  }

  /**
   * The size that one try means.
   *
   * @param area part of the picture's area
   * @param logRatio natural logarithm of width over height
   * @return the size, at the picture's upper left corner, or null if it does not fit
   */
  static @Nullable CropWindow size(int width, int height, double area, double logRatio) {
    double target = (double) width * height * area;
    // torchvision computes the ratio in float32.
    double ratio = (float) Math.exp((float) logRatio);
    int w = (int) Math.rint(Math.sqrt(target * ratio));
    int h = (int) Math.rint(Math.sqrt(target / ratio));
    return w > 0 && w <= width && h > 0 && h <= height ? new CropWindow(0, 0, h, w) : null;
  }

  /** The largest centred rectangle of an allowed ratio. */
  CropWindow fallback(int width, int height) {
    double ratio = (double) width / height;
    int w = width;
    int h = height;
    if (ratio < minRatio) {
      h = (int) Math.rint(w / minRatio);
    } else if (ratio > maxRatio) {
      w = (int) Math.rint(h * maxRatio);
    }
    return new CropWindow((height - h) / 2, (width - w) / 2, h, w);
  }
}
