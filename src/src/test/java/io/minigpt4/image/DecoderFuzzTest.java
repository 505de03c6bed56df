package io.minigpt4.image;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.minigpt4.tensor.UserException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.zip.CRC32;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Broken copies of every golden picture: the outcome is a picture or a {@link UserException}, soon,
 * and without much memory.
 */
class DecoderFuzzTest {
  private static final long NANOS_PER_FORMAT = 1_500_000_000L;
  private static final long MAX_NANOS = 5_000_000_000L;
  private static final long MAX_PIXELS = 1_000_000;

  /** All planes, coefficients and results of a million pixels, several times over. */
  private static final long MAX_ALLOCATED = 128L << 20;

  @ParameterizedTest
  @ValueSource(strings = {"png", "jpg", "gif", "bmp", "webp", "tiff"})
  void survivesBrokenFiles(String format) {
    List<byte[]> seeds =
        Goldens.cases("decode.json").stream()
            .map(c -> c.text("file"))
            .filter(f -> f.endsWith(format) && !f.equals("photo.jpg"))
            .map(Goldens::file)
            .toList();
    SplittableRandom random = new SplittableRandom(format.hashCode());
    PictureOptions options = PictureOptions.DEFAULT.withMaxPixels(MAX_PIXELS);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    int refused = 0;
    int rounds = 0;
    long start = System.nanoTime();
    while (System.nanoTime() - start < NANOS_PER_FORMAT && rounds < 20_000) {
      byte[] broken = breakIt(seeds.get(rounds % seeds.size()), random);
      if (format.equals("png")) {
        repairChecksums(broken);
      }
      long before = threads.getCurrentThreadAllocatedBytes();
      long began = System.nanoTime();
      try {
        Picture picture = Pictures.read(broken, "broken", options.withOrientation(true));
        assertThat((long) picture.width() * picture.height()).isLessThanOrEqualTo(MAX_PIXELS);
      } catch (UserException e) {
        refused++;
        assertThat(e).hasMessageStartingWith("broken: ").hasMessageNotContaining("\n");
      } catch (RuntimeException e) {
        throw new AssertionError("round " + rounds + " of " + format, e);
      }
      assertThat(System.nanoTime() - began).as("nanoseconds").isLessThan(MAX_NANOS);
      long allocated = threads.getCurrentThreadAllocatedBytes() - before;
      assertThat(allocated).as("bytes in round %d", rounds).isLessThan(MAX_ALLOCATED);
      rounds++;
    }
    assertThat(refused).as("of %d rounds", rounds).isGreaterThan(rounds / 20);
  }

  private static byte[] breakIt(byte[] data, SplittableRandom random) {
    byte[] out = data.clone();
    int head = Math.min(out.length, 80);
    switch (random.nextInt(5)) {
      case 0 -> {
        for (int i = random.nextInt(8); i >= 0; i--) {
          out[random.nextInt(out.length)] ^= (byte) (1 << random.nextInt(8));
        }
      }
      case 1 -> out = Arrays.copyOf(out, random.nextInt(out.length));
      case 2 -> {
        for (int i = random.nextInt(4); i >= 0; i--) {
          out[random.nextInt(head)] = (byte) random.nextInt(256);
        }
      }
      case 3 -> {
        int at = random.nextInt(out.length);
        byte fill = (byte) (random.nextBoolean() ? 0 : 255);
        Arrays.fill(out, at, Math.min(at + 1 + random.nextInt(16), out.length), fill);
      }
      default -> {
        int length = random.nextInt(out.length / 2 + 1);
        int from = random.nextInt(out.length - length + 1);
        System.arraycopy(out, from, out, random.nextInt(out.length - length + 1), length);
      }
    }
    return out;
  }

  /** Without right checksums nothing behind them would be tried. */
  private static void repairChecksums(byte[] png) {
    ByteBuffer buffer = ByteBuffer.wrap(png);
    int at = 8;
    while (at + 12 <= png.length) {
      int length = buffer.getInt(at);
      if (length < 0 || length > png.length - at - 12) {
        return;
      }
      CRC32 crc = new CRC32();
      crc.update(png, at + 4, length + 4);
      buffer.putInt(at + 8 + length, (int) crc.getValue());
      at += 12 + length;
    }
  }
}
