package io.minigpt4.image;

/**
 * From VP8's luma and half-size chroma to RGB: chroma is interpolated with weights 9, 3, 3, 1 and
 * converted by ITU-R BT.601's limited-range equations in fixed point, rounded as libwebp rounds.
 */
final class Vp8Colour {
  private Vp8Colour() {}

  static byte[] toRgb(Vp8Plane luma, Vp8Plane u, Vp8Plane v, int width, int height) {
    byte[] rgb = new byte[3 * width * height];
    int chromaWidth = (width + 1) / 2;
    int chromaHeight = (height + 1) / 2;
    int[] rowU = new int[2 * chromaWidth];
    int[] rowV = new int[2 * chromaWidth];
    for (int y = 0; y < height; y++) {
      int near = y >> 1;
      int far = Math.clamp((y & 1) == 1 ? near + 1L : near - 1L, 0, chromaHeight - 1);
      upsample(u, near, far, chromaWidth, rowU);
      upsample(v, near, far, chromaWidth, rowV);
      int from = luma.at(0, y);
      int to = 3 * y * width;
      for (int x = 0; x < width; x++, to += 3) {
        int grey = scaled(luma.get(from + x), 19077);
        rgb[to] = clip(grey + scaled(rowV[x], 26149) - 14234);
        rgb[to + 1] = clip(grey - scaled(rowU[x], 6419) - scaled(rowV[x], 13320) + 8708);
        rgb[to + 2] = clip(grey + scaled(rowU[x], 33050) - 17685);
      }
    }
    return rgb;
  }

  private static void upsample(Vp8Plane plane, int near, int far, int width, int[] out) {
    int n = plane.at(0, near);
    int f = plane.at(0, far);
    int nearLeft = plane.get(n);
    int farLeft = plane.get(f);
    out[0] = (3 * nearLeft + farLeft + 2) >> 2;
    for (int x = 1; x < width; x++) {
      int nearRight = plane.get(n + x);
      int farRight = plane.get(f + x);
      int sum = nearLeft + nearRight + farLeft + farRight + 8;
      out[2 * x - 1] = (((sum + 2 * (nearRight + farLeft)) >> 3) + nearLeft) >> 1;
      out[2 * x] = (((sum + 2 * (nearLeft + farRight)) >> 3) + nearRight) >> 1;
      nearLeft = nearRight;
      farLeft = farRight;
    }
    out[2 * width - 1] = (3 * nearLeft + farLeft + 2) >> 2;
  }

  private static int scaled(int sample, int factor) {
    return (sample * factor) >> 8;
  }

  private static byte clip(int v) {
    return (byte) Math.clamp(v >> 6, 0, 255);
  }
}
