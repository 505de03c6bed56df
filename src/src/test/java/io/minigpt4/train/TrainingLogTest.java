package io.minigpt4.train;

import static org.assertj.core.api.Assertions.assertThat;

import io.minigpt4.image.Picture;
import io.minigpt4.image.Pictures;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The files that a run leaves beside its checkpoints. */
class TrainingLogTest {
  @TempDir private Path folder;

  private static TrainingListener.IterationReport report(long step, double loss) {
    Performance performance = new Performance(10, 10, 3, 1, Double.NaN, 1_000_000, 2_000_000);
    return new TrainingListener.IterationReport(
        0, (int) step - 1, step, 50, loss, 1e-3, 1, performance, 0, false);
  }

  /** The contents of a file of records, each with its two checksums verified. */
  private static List<byte[]> records(Path file) throws IOException {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    List<byte[]> records = new ArrayList<>();
    while (in.hasRemaining()) {
      byte[] length = new byte[8];
      in.get(length);
      assertThat(in.getInt()).isEqualTo(masked(length));
      long count = ByteBuffer.wrap(length).order(ByteOrder.LITTLE_ENDIAN).getLong();
      byte[] content = new byte[Math.toIntExact(count)];
      in.get(content);
      assertThat(in.getInt()).isEqualTo(masked(content));
      records.add(content);
    }
    return records;
  }

  private static int masked(byte[] of) {
    CRC32C checksum = new CRC32C();
    checksum.update(of, 0, of.length);
    long value = checksum.getValue();
    return (int) ((((value >>> 15) | (value << 17)) & 0xFFFFFFFFL) + 0xA282EAD8L);
  }

  @Test
  void eventsAreTensorBoards() throws IOException {
    try (EventFile events = new EventFile(folder, 123)) {
      events.scalars(300, Map.of("loss", 2.5));
      events.scalars(301, Map.of("loss", Double.NaN));
    }
    List<byte[]> records = records(folder.resolve("events.out.tfevents.123.minigpt4"));
    assertThat(records).hasSize(3);
    assertThat(new String(records.get(0), StandardCharsets.ISO_8859_1)).contains("brain.Event:2");
    // Field 5, a summary of 13 bytes; in it field 1, a value of 11; in it tag and number.
    byte[] value = {
      42, 13, 10, 11, 10, 4, 'l', 'o', 's', 's', 21, 0, 0, 0x20, 0x40,
    };
    assertThat(records.get(1)).startsWith(value).endsWith(16, (byte) 0xAC, 2); // step 300
    assertThat(records.get(2)).startsWith(42, 0);
  }

  @Test
  void aKilledRunsHalfLineIsEndedAndThePlotLeavesItOut() throws IOException {
    Path metrics = folder.resolve("metrics.jsonl");
    Files.writeString(metrics, "{\"step\":1,\"loss\":3.0}\n{\"step\":2,\"lo");
    try (TrainingLog log = new TrainingLog(folder, Map.of("seed", 1))) {
      for (int step = 2; step <= 50; step++) {
        log.iteration(report(step, 3.0 / step));
      }
      log.epoch(1e-3, 0.5);
    }
    List<String> lines = Files.readAllLines(metrics);
    assertThat(lines).hasSize(51);
    assertThat(lines.get(2)).startsWith("{\"step\":2,").doesNotContain("mfu").endsWith("}");
    Picture plot = Pictures.read(folder.resolve("loss.png"));
    int blue = 0;
    int lowest = 0;
    for (int i = 0; i < plot.width() * plot.height(); i++) {
      if ((plot.rgb()[3 * i] & 0xFF) == 0x1F) {
        blue++;
        lowest = i / plot.width();
      }
    }
    assertThat(blue).as("pixels of the curve").isGreaterThan(800);
    assertThat(lowest).as("where the curve ends").isBetween(350, 487);
  }
}
