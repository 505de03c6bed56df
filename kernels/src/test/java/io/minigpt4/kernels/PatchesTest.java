package io.minigpt4.kernels;

import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A ViT's first layer without its matrix product. */
class PatchesTest extends KernelTest {
  private final Patches patches = new Patches(device.library);

  @ParameterizedTest
  @EnumSource
  void patchesAsRows(Element element) {
    for (int[] shape :
        new int[][] {{2, 28, 14, 592}, {1, 12, 4, 48}, {1, 10, 5, 75}, {3, 6, 6, 109}}) {
      int images = shape[0];
      int size = shape[1];
      int patch = shape[2];
      int width = shape[3];
      int side = size / patch;
      Sample pixels = sample(Element.F32, images * 3 * size * size);
      Device.Array out = device.put(element, new float[images * side * side * width]);
      patches.patches(0, element, pixels.address(), images, 3, size, patch, out.address(), width);
      double[] wanted = new double[images * side * side * width];
      for (int row = 0; row < images * side * side; row++) {
        for (int i = 0; i < 3 * patch * patch; i++) {
          int y = row / side % side * patch + i / patch % patch;
          int x = row % side * patch + i % patch;
          int plane = row / (side * side) * 3 + i / (patch * patch);
          wanted[row * width + i] = pixels.get((plane * size + y) * size + x);
        }
      }
      Device.assertClose(out, wanted, 0);
    }
  }

  @ParameterizedTest
  @EnumSource
  void positionsInPlace(Element element) {
    for (int[] shape : new int[][] {{2, 4, 40}, {1, 9, 13}, {3, 1, 2064}}) {
      int images = shape[0];
      int n = shape[1];
      int width = shape[2];
      Sample out = sample(element, images * (1 + n) * width);
      Sample bias = sample(Element.F16, width);
      Sample cls = sample(Element.F32, width);
      Sample position = sample(Element.BF16, (1 + n) * width);
      patches.positions(
          0,
          element,
          out.address() + (long) width * element.bytes(),
          (1L + n) * width,
          n,
          bias.address(),
          Element.F16,
          cls.address(),
          Element.F32,
          position.address(),
          Element.BF16,
          out.address(),
          images,
          width);
      double[] wanted = new double[images * (1 + n) * width];
      for (int i = 0; i < wanted.length; i++) {
        int row = i / width % (1 + n);
        int c = i % width;
        wanted[i] =
            position.get(row * width + c)
                + (row == 0 ? cls.get(c) : (double) out.get(i) + bias.get(c));
      }
      Device.assertClose(out.array(), wanted, 1e-6);
    }
  }

  @Test
  void refusesRowsThatAreTooNarrow() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> patches.patches(0, Element.F16, 0, 1, 3, 28, 14, 0, 587))
        .withMessage("rows of 587 do not hold patches of 3x14x14");
  }
}
