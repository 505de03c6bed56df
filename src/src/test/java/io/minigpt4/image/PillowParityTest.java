package io.minigpt4.image;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every byte against what Pillow and torchvision gave. */
class PillowParityTest {
  private static final Goldens DECODED = new Goldens("decoded.safetensors");
  private static final Goldens RESIZED = new Goldens("resized.safetensors");
  private static final Goldens CROPPED = new Goldens("cropped.safetensors");

  static List<Goldens.Case> files() {
    return Goldens.cases("decode.json");
  }

  @ParameterizedTest
  @MethodSource("files")
  void decodesAsPillow(Goldens.Case expected) throws Exception {
    String file = expected.text("file");
    Picture picture = Pictures.read(Goldens.file(file), file, PictureOptions.DEFAULT);

    assertThat(picture.width()).isEqualTo(expected.integer("width"));
    assertThat(picture.height()).isEqualTo(expected.integer("height"));
    if (DECODED.names().contains(file)) {
      assertThat(picture.rgb()).isEqualTo(DECODED.get(file).bytes());
    }
    byte[] hash = MessageDigest.getInstance("SHA-256").digest(picture.rgb());
    assertThat(HexFormat.of().formatHex(hash)).isEqualTo(expected.text("sha256"));
  }

  static Stream<String> orientedFiles() {
    return DECODED.names().stream().filter(k -> k.startsWith("upright/"));
  }

  @ParameterizedTest
  @MethodSource("orientedFiles")
  void turnsUprightWhenAsked(String name) {
    String file = name.substring("upright/".length());
    PictureOptions options = PictureOptions.DEFAULT.withOrientation(true);
    Picture picture = Pictures.read(Goldens.file(file), file, options);

    Goldens.Golden expected = DECODED.get(name);
    assertThat(picture.height()).isEqualTo(expected.height());
    assertThat(picture.width()).isEqualTo(expected.width());
    assertThat(picture.rgb()).isEqualTo(expected.bytes());
  }

  static Stream<String> resizings() {
    return RESIZED.names().stream().filter(k -> !k.startsWith("source/"));
  }

  @ParameterizedTest
  @MethodSource("resizings")
  void resizesAsPillow(String name) {
    String source = name.substring(0, name.indexOf('/'));
    Picture picture = source.equals("photo") ? photo() : RESIZED.get("source/" + source).picture();
    Goldens.Golden expected = RESIZED.get(name);

    Picture resized = Resize.bicubic(picture, expected.width(), expected.height());

    assertThat(resized.width()).isEqualTo(expected.width());
    assertThat(resized.rgb()).isEqualTo(expected.bytes());
  }

  @Test
  void normalisesAsTorchvision() {
    Goldens.Golden expected = new Goldens("normalised.safetensors").get("photo/56");
    float[] got = new float[3 * 56 * 56];
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(4L * got.length, 4);
      new ImageProcessor(56).evaluation(photo(), Tensor.of(DType.F32, memory, 3, 56, 56));
      MemorySegment.copy(memory, ValueLayout.JAVA_FLOAT, 0, got, 0, got.length);
    }
    assertThat(got).containsExactly(expected.floats());
  }

  static List<Goldens.Case> crops() {
    return Goldens.cases("crop.json");
  }

  @ParameterizedTest
  @MethodSource("crops")
  void choosesCropsAsTorchvision(Goldens.Case expected) {
    int width = expected.integer("width");
    int height = expected.integer("height");
    int[] offsets = expected.integers("offsets");
    CropWindow window = RandomResizedCrop.TRAINING.fallback(width, height);
    boolean fitted = false;
    for (Object draw : expected.list("draws")) {
      assertThat(fitted).as("a try after one that fitted").isFalse();
      double area = ((Number) ((List<?>) draw).get(0)).doubleValue();
      double logRatio = ((Number) ((List<?>) draw).get(1)).doubleValue();
      CropWindow size = RandomResizedCrop.size(width, height, area, logRatio);
      if (size != null) {
        fitted = true;
        window = new CropWindow(offsets[0], offsets[1], size.height(), size.width());
      }
    }

    assertThat(fitted).isEqualTo(offsets.length > 0);
    assertThat(window).isEqualTo(window(expected));
  }

  static Stream<Goldens.Case> croppings() {
    return crops().stream().filter(c -> c.has("tensor"));
  }

  @ParameterizedTest
  @MethodSource("croppings")
  void resizesCropsAsTorchvision(Goldens.Case expected) {
    Goldens.Golden tensor = CROPPED.get(expected.text("tensor"));

    Picture resized =
        Resize.bicubic(photo().crop(window(expected)), tensor.width(), tensor.height());

    assertThat(resized.rgb()).isEqualTo(tensor.bytes());
  }

  private static CropWindow window(Goldens.Case expected) {
    Goldens.Case crop = expected.object("crop");
    return new CropWindow(
        crop.integer("top"), crop.integer("left"), crop.integer("height"), crop.integer("width"));
  }

  private static Picture photo() {
    return Pictures.read(Goldens.file("photo.jpg"), "photo.jpg", PictureOptions.DEFAULT);
  }
}
