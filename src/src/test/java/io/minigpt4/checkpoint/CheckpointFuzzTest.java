package io.minigpt4.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.minigpt4.tensor.UserException;
import io.minigpt4.testing.Golden;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Damages valid files at random. Whatever comes out, nothing but the declared exception may escape,
 * and neither time nor memory may go astray.
 */
class CheckpointFuzzTest {
  private static final int ROUNDS = 1500;
  private static final Duration LONGEST = Duration.ofSeconds(60);

  /** The files are smaller than 70 kB. */
  private static final long MAX_HEAP_BYTES = 32 << 20;

  @TempDir Path dir;

  @ParameterizedTest
  @CsvSource({
    "pickles/odd_tensors.safetensors, 1",
    "pickles/odd_tensors.pth, 2",
    "pickles/odd_tensors_legacy.pth, 3",
    "pickles/odd_tensors_protocol_4.pth, 4",
    "vicuna/pytorch_model.bin.index.json, 5",
  })
  void damagedFilesAreRefusedOrRead(String name, long seed) throws IOException {
    byte[] original = Files.readAllBytes(Golden.path("tiny/" + name));
    Random random = new Random(seed);
    Path file = dir.resolve("x");
    Assertions.assertTimeout(
        LONGEST,
        () -> {
          int refused = 0;
          for (int round = 0; round < ROUNDS; round++) {
            byte[] damaged = damage(original, random);
            Files.write(file, damaged);
            refused += readsWithinBounds(file, damaged.length) ? 0 : 1;
          }
          assertThat(refused).isGreaterThan(ROUNDS / 10);
        });
  }

  /** Whether the file was readable. */
  private static boolean readsWithinBounds(Path file, long size) {
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    boolean readable = true;
    try (Checkpoint c = Checkpoints.open(file)) {
      for (String tensor : c.names()) {
        // A strided tensor may repeat elements within a bound of its own.
        assertThat(c.tensor(tensor).segment().byteSize()).isLessThan(Math.max(size, 65L << 20));
      }
    } catch (UserException e) {
      assertThat(e.getMessage()).isNotBlank().doesNotContain("\n");
      readable = false;
    }
    assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(MAX_HEAP_BYTES);
    return readable;
  }

  /** Flips bits, overwrites numbers with extremes, cuts, repeats or inserts parts. */
  static byte[] damage(byte[] original, Random random) {
    byte[] bytes = original.clone();
    // The structure is at either end of most files: half of the damage goes there.
    int edge = random.nextBoolean() ? bytes.length : Math.min(bytes.length, 600);
    boolean fromEnd = random.nextBoolean();
    for (int times = 1 + random.nextInt(4); times > 0; times--) {
      int at = random.nextInt(Math.min(edge, bytes.length));
      at = fromEnd ? bytes.length - 1 - at : at;
      int length = Math.min(1 + random.nextInt(16), bytes.length - at);
      switch (random.nextInt(6)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> Arrays.fill(bytes, at, at + Math.min(length, 8), (byte) 0xff);
        case 2 -> bytes[at] = (byte) random.nextInt(256);
        case 3 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
        case 4 -> {
          int source = random.nextInt(bytes.length - length + 1);
          System.arraycopy(bytes.clone(), source, bytes, at, length);
        }
        default -> {
          byte[] longer = Arrays.copyOf(bytes, bytes.length + length);
          System.arraycopy(bytes, at, longer, at + length, bytes.length - at);
          bytes = longer;
        }
      }
    }
    return bytes;
  }
}
