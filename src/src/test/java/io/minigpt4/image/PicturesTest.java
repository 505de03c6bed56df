package io.minigpt4.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.minigpt4.tensor.UserException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Bad input: one line that names the file, what was found and what to do. */
class PicturesTest {
  @TempDir private Path folder = Path.of("");

  private static String failure(byte[] data, String name, PictureOptions options) {
    try {
      Picture picture = Pictures.read(data, name, options);
      return "no failure but a " + picture;
    } catch (UserException e) {
      String message = String.valueOf(e.getMessage());
      assertThat(message).startsWith(name + ": ").doesNotContain("\n");
      return message.substring(name.length() + 2);
    }
  }

  private static String failure(byte[] data) {
    return failure(data, "scene.png", PictureOptions.DEFAULT);
  }

  @Test
  void readsAFileWhateverItsName() throws IOException {
    Path file = folder.resolve("picture.jpg");
    Files.write(file, Goldens.file("rgb.png"));
    assertThat(Pictures.read(file).width()).isEqualTo(37);
  }

  @Test
  void readsAStream() throws IOException {
    Picture picture =
        Pictures.read(
            new ByteArrayInputStream(Goldens.file("still.gif")), "stdin", PictureOptions.DEFAULT);
    assertThat(picture.height()).isEqualTo(53);
  }

  @Test
  void namesAMissingFile() {
    Path file = folder.resolve("none.png");
    assertThatThrownBy(() -> Pictures.read(file))
        .isInstanceOf(UserException.class)
        .hasMessage(file + ": no such file; check the path");
  }

  @Test
  void namesADirectory() {
    assertThatThrownBy(() -> Pictures.read(folder))
        .isInstanceOf(UserException.class)
        .hasMessageStartingWith(folder + ": is a directory");
  }

  @Test
  void saysWhatAFileIsThatIsNoPicture() {
    assertThat(failure(new byte[0])).startsWith("is empty; give a PNG, JPEG");
    byte[] text = "Describe this image in détail.\n".repeat(50).getBytes(StandardCharsets.UTF_8);
    assertThat(failure(text)).startsWith("is a text file, not a picture; give a PNG");
    // A text whose part that is looked at ends inside a character.
    byte[] umlauts = ("x" + "ü".repeat(400)).getBytes(StandardCharsets.UTF_8);
    assertThat(failure(umlauts)).startsWith("is a text file");
    byte[] pdf = "%PDF-1.7\n".getBytes(StandardCharsets.US_ASCII);
    assertThat(failure(pdf)).startsWith("is a PDF file;");
    byte[] heif = "\0\0\0\u001cftypheic".getBytes(StandardCharsets.US_ASCII);
    assertThat(failure(heif)).startsWith("is a HEIF, AVIF or video file;");
    assertThat(failure(new byte[] {1, 2, 3, 0, 5})).startsWith("is no picture that is known here;");
  }

  static List<String> files() {
    return Goldens.cases("decode.json").stream().map(c -> c.text("file")).toList();
  }

  @ParameterizedTest
  @MethodSource("files")
  void refusesATruncatedFile(String name) {
    // Of these the first picture, which is all that is read, ends well before the file does.
    boolean several = name.equals("animated.gif") || name.equals("pages.tiff");
    byte[] data = Goldens.file(name);
    int[] percents = several ? new int[] {3, 10, 25} : new int[] {3, 10, 25, 50, 75, 90};
    for (int percent : percents) {
      byte[] cut = Arrays.copyOf(data, Math.max(data.length * percent / 100, 4));
      assertThat(failure(cut, name, PictureOptions.DEFAULT))
          .as("%d of %d bytes", cut.length, data.length)
          .containsAnyOf("truncated", "damaged", "is no picture");
    }
  }

  @ParameterizedTest
  @MethodSource("files")
  void holdsTheLimitOfPixels(String name) {
    PictureOptions options = PictureOptions.DEFAULT.withMaxPixels(1);
    Picture picture = Pictures.read(Goldens.file("one_pixel.png"), name, options);
    assertThat(picture.width()).isEqualTo(1);
    if (!name.equals("one_pixel.png")) {
      assertThat(failure(Goldens.file(name), name, options))
          .contains("more than the limit of 1 pixels; make the picture smaller");
    }
  }

  @Test
  void holdsTheLimitsOfBytesAndSides() {
    byte[] data = Goldens.file("photo.jpg");
    assertThat(failure(data, "a", new PictureOptions(1000, 1000, 1000, false)))
        .isEqualTo("is longer than the limit of 1000 bytes; make it smaller");
    assertThat(failure(data, "a", new PictureOptions(100_000, 1_000_000, 639, false)))
        .isEqualTo(
            "a JPEG of 640×480 pixels, more than the limit of 639 pixels a side;"
                + " make the picture smaller");
  }

  @Test
  void doesNotReadALongFile() throws IOException {
    Path file = folder.resolve("long.png");
    Files.write(file, Goldens.file("photo.jpg"));
    assertThatThrownBy(() -> Pictures.read(file, new PictureOptions(1000, 1000, 1000, false)))
        .isInstanceOf(UserException.class)
        .hasMessage(file + ": is longer than the limit of 1000 bytes; make it smaller");
  }

  /** The header of a small file is made to claim a huge picture, within the limits. */
  @ParameterizedTest
  @CsvSource({
    "grey_16bit.png, 16, 4, true",
    "baseline_420.jpg, -1, 2, true",
    "lzw.tiff, -1, 2, false",
    "rgb.bmp, 18, 4, false"
  })
  void doesNotBelieveAHugeSize(String name, int widthAt, int bytes, boolean bigEndian) {
    byte[] data = Goldens.file(name);
    int at = widthAt >= 0 ? widthAt : sizeField(data, name);
    for (int field = 0; field < 2; field++) {
      int fieldAt = at + field * (name.endsWith("tiff") ? 12 : bytes);
      for (int i = 0; i < bytes; i++) {
        data[fieldAt + i] = 0;
      }
      data[bigEndian ? fieldAt + bytes - 2 : fieldAt + 1] = 0x20;
    }
    if (name.endsWith("png")) {
      CRC32 crc = new CRC32();
      crc.update(data, 12, 17);
      ByteBuffer.wrap(data).putInt(29, (int) crc.getValue());
    }
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    String message = failure(data, name, PictureOptions.DEFAULT);
    long allocated = threads.getCurrentThreadAllocatedBytes() - before;

    assertThat(message).containsAnyOf("truncated", "too few", "damaged");
    assertThat(allocated).as("bytes allocated for 8192×8192").isLessThan(4 << 20);
  }

  private static int sizeField(byte[] data, String name) {
    boolean tiff = name.endsWith("tiff");
    for (int i = 2; i < data.length - 8; i++) {
      boolean frame = data[i] == (byte) 0xFF && data[i + 1] == (byte) 0xC0;
      boolean width = data[i] == 0 && data[i + 1] == 1 && (data[i + 2] == 4 || data[i + 2] == 3);
      if (tiff ? width && data[i + 3] == 0 && data[i + 12] == 1 : frame) {
        return i + (tiff ? 8 : 5);
      }
    }
    throw new IllegalStateException("no size field in " + name);
  }
}
