package io.minigpt4.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Random;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Properties that hold for every picture; the exact bytes are in {@link PillowParityTest}. */
class ResizeTest {
  private static Picture random(SplittableRandom random, int most) {
    int width = 1 + random.nextInt(most);
    int height = 1 + random.nextInt(most);
    byte[] rgb = new byte[3 * width * height];
    random.nextBytes(rgb);
    return new Picture(width, height, rgb);
  }

  @Test
  void theSameSizeIsACopy() {
    SplittableRandom random = new SplittableRandom(1);
    for (int i = 0; i < 50; i++) {
      Picture picture = random(random, 40);
      Picture resized = Resize.bicubic(picture, picture.width(), picture.height());
      assertThat(resized.rgb()).isEqualTo(picture.rgb()).isNotSameAs(picture.rgb());
    }
  }

  @Test
  void oneColourStaysOneColour() {
    SplittableRandom random = new SplittableRandom(2);
    for (int i = 0; i < 100; i++) {
      Picture picture = random(random, 60);
      byte colour = (byte) random.nextInt(256);
      Arrays.fill(picture.rgb(), colour);
      Picture resized = Resize.bicubic(picture, 1 + random.nextInt(90), 1 + random.nextInt(90));
      for (byte b : resized.rgb()) {
        assertThat(b).isEqualTo(colour);
      }
    }
  }

  /** Rows and columns are filtered apart, so turning before or after is the same. */
  @Test
  void mirroringCommutes() {
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < 50; i++) {
      Picture picture = random(random, 50);
      int w = 1 + random.nextInt(70);
      int h = 1 + random.nextInt(70);
      Picture first = Resize.bicubic(Orientation.upright(picture, 3), w, h);
      Picture last = Orientation.upright(Resize.bicubic(picture, w, h), 3);
      for (int k = 0; k < first.rgb().length; k++) {
        // Fixed-point weights of mirrored positions may round differently by the last bit.
        assertThat((first.rgb()[k] & 0xFF) - (last.rgb()[k] & 0xFF)).isBetween(-1, 1);
      }
    }
  }

  /** A box of whole pixels that holds all the filter reaches equals the cut-out's middle. */
  @Test
  void aBoxSeesThePixelsAroundIt() {
    SplittableRandom random = new SplittableRandom(4);
    byte[] rgb = new byte[3 * 60 * 60];
    random.nextBytes(rgb);
    Picture picture = new Picture(60, 60, rgb);
    Picture whole = Resize.bicubic(picture, 30, 30);
    Picture part = Resize.bicubic(picture, 10, 10, 20, 20, 40, 40);
    assertThat(part.rgb()).isEqualTo(whole.crop(new CropWindow(10, 10, 10, 10)).rgb());
  }

  @Test
  void refusesImpossibleSizes() {
    Picture picture = new Picture(2, 2, new byte[12]);
    assertThatThrownBy(() -> Resize.bicubic(picture, 0, 1))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Resize.bicubic(picture, 100_000, 100_000))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Resize.bicubic(picture, 2, 2, 1, 0, 1, 2))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Resize.bicubic(picture, 2, 2, 0, 0, 3, 2))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> picture.crop(new CropWindow(1, 1, 2, 1)))
        .isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void cropsAreInsideAndRepeatable() {
    SplittableRandom random = new SplittableRandom(5);
    for (int i = 0; i < 2000; i++) {
      int width = 1 + random.nextInt(500);
      int height = 1 + random.nextInt(500);
      CropWindow window = RandomResizedCrop.TRAINING.draw(width, height, new Random(i));
      assertThat(window).isEqualTo(RandomResizedCrop.TRAINING.draw(width, height, new Random(i)));
      assertThat(window.top()).isBetween(0, height - window.height());
      assertThat(window.left()).isBetween(0, width - window.width());
      assertThat(Math.min(window.width(), window.height())).isPositive();
    }
  }

  @Test
  void trainingWritesTheCropNormalised() {
    SplittableRandom random = new SplittableRandom(6);
    byte[] rgb = new byte[3 * 80 * 60];
    random.nextBytes(rgb);
    Picture picture = new Picture(80, 60, rgb);
    ImageProcessor processor = new ImageProcessor(28);
    try (Arena arena = Arena.ofConfined()) {
      long bytes = 4L * 3 * 28 * 28;
      Tensor got = Tensor.of(DType.F32, arena.allocate(bytes, 4), 1, 3, 28, 28);
      Tensor expected = Tensor.of(DType.F32, arena.allocate(bytes, 4), 3, 28, 28);
      processor.training(picture, new Random(7), got);
      CropWindow window = RandomResizedCrop.TRAINING.draw(80, 60, new Random(7));
      processor.evaluation(picture.crop(window), expected);
      assertThat(got.segment().mismatch(expected.segment())).isEqualTo(-1);

      Tensor wrong = Tensor.of(DType.F32, arena.allocate(bytes, 4), 28, 28, 3);
      assertThatThrownBy(() -> processor.evaluation(picture, wrong))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }
}
