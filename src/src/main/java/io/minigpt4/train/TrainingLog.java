package io.minigpt4.train;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.io.StringWriter;
import java.io.Writer;
import java.nio.ByteBuffer;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The files that a run leaves beside its checkpoints: {@code log.txt} as the Python version writes
 * it, the configuration and then one JSON object an epoch; {@code metrics.jsonl}, one object an
 * iteration; a file of the same numbers for TensorBoard; after each epoch {@code loss.png}.
 */
public final class TrainingLog implements AutoCloseable {
  private static final JsonFactory JSON = new JsonFactory();

  private final Path log;
  private final Writer metrics;
  private final Path metricsFile;
  private final EventFile events;
  private final Path plot;
  private long sinceFlush;

  /**
   * Opens the files to append to.
   *
   * @param folder made if it is not there
   * @param config plain maps, lists and scalars
   * @throws UserException if they cannot be written
   */
  public TrainingLog(Path folder, @Nullable Object config) {
    log = folder.resolve("log.txt");
    metricsFile = folder.resolve("metrics.jsonl");
    plot = folder.resolve("loss.png");
    try {
      Files.createDirectories(folder);
      append(json(config, true));
      boolean torn = endsWithinALine(metricsFile);
      metrics =
          Files.newBufferedWriter(
              metricsFile, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
      if (torn) {
        metrics.write("\n");
      }
      events = new EventFile(folder, System.currentTimeMillis());
    } catch (IOException e) {
      throw unwritable(folder, e);
    }
  }

  /** Whether a run was killed while it wrote. */
  private static boolean endsWithinALine(Path file) throws IOException {
    if (!Files.exists(file) || Files.size(file) == 0) {
      return false;
    }
    try (SeekableByteChannel in = Files.newByteChannel(file)) {
      ByteBuffer last = ByteBuffer.allocate(1);
      in.position(in.size() - 1).read(last);
      return last.get(0) != '\n';
    }
  }

  private static UserException unwritable(Path file, IOException e) {
    return new UserException(file + " cannot be written: " + UserException.reason(e), e);
  }

  private void append(String line) throws IOException {
    Files.writeString(log, line + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }

  /** Notes an iteration. */
  public void iteration(TrainingListener.IterationReport report) {
    StringWriter line = new StringWriter();
    try (JsonGenerator json = JSON.createGenerator(line)) {
      json.writeStartObject();
      json.writeNumberField("step", report.step());
      json.writeNumberField("epoch", report.epoch());
      json.writeNumberField("loss", report.loss());
      json.writeNumberField("lr", report.learningRate());
      Performance performance = report.performance();
      json.writeNumberField("samples_per_s", performance.samplesPerSecond());
      json.writeNumberField("eta_s", performance.secondsLeft());
      json.writeNumberField("gflops", performance.gflops());
      if (Double.isFinite(performance.utilisation())) {
        json.writeNumberField("mfu", performance.utilisation());
      }
      json.writeNumberField("activations_mb", performance.activationBytes() / 1e6);
      json.writeNumberField("resident_mb", performance.residentBytes() / 1e6);
      json.writeNumberField("loss_scale", report.lossScale());
      json.writeNumberField("skipped_samples", report.skippedSamples());
      json.writeBooleanField("update_skipped", report.updateSkipped());
      json.writeEndObject();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
    try {
      metrics.write(line + "\n");
      if (System.nanoTime() - sinceFlush > 1_000_000_000L) {
        sinceFlush = System.nanoTime();
        metrics.flush();
      }
    } catch (IOException e) {
      throw unwritable(metricsFile, e);
    }
    Performance performance = report.performance();
    events.scalars(
        report.step(),
        Map.of(
            "train/loss", report.loss(),
            "train/learning_rate", report.learningRate(),
            "train/loss_scale", report.lossScale(),
            "train/epoch", (double) report.epoch(),
            "speed/samples_per_s", performance.samplesPerSecond(),
            "speed/mfu", performance.utilisation()));
  }

  /**
   * Notes an epoch, rates and losses rounded as the Python version's, and draws the losses so far.
   */
  public void epoch(double learningRate, double loss) {
    try {
      append(
          String.format(
              Locale.ROOT,
              "{\"train_lr\": \"%.3f\", \"train_loss\": \"%.3f\"}",
              learningRate,
              loss));
      metrics.flush();
    } catch (IOException e) {
      throw unwritable(log, e);
    }
    drawPlot();
  }

  private void drawPlot() {
    try {
      LossPlot.draw(metricsFile, plot);
    } catch (IOException e) {
      throw unwritable(plot, e);
    }
  }

  /** A configuration as JSON. */
  static String json(@Nullable Object value, boolean pretty) throws IOException {
    StringWriter text = new StringWriter();
    try (JsonGenerator json = JSON.createGenerator(text)) {
      if (pretty) {
        json.useDefaultPrettyPrinter();
      }
      write(json, value);
    }
    return text.toString();
  }

  private static void write(JsonGenerator json, @Nullable Object value) throws IOException {
    switch (value) {
      case null -> json.writeNull();
      case Map<?, ?> map -> {
        json.writeStartObject();
        for (Map.Entry<?, ?> entry : map.entrySet()) {
          json.writeFieldName(String.valueOf(entry.getKey()));
          write(json, entry.getValue());
        }
        json.writeEndObject();
      }
      case List<?> list -> {
        json.writeStartArray();
        for (Object element : list) {
          write(json, element);
        }
        json.writeEndArray();
      }
      case Boolean truth -> json.writeBoolean(truth);
      case Long number -> json.writeNumber(number);
      case Integer number -> json.writeNumber(number);
      case Double number -> json.writeNumber(number);
      default -> json.writeString(value.toString());
    }
  }

  @Override
  public void close() {
    try {
      metrics.close();
    } catch (IOException e) {
      throw unwritable(metricsFile, e);
    } finally {
      events.close();
    }
    drawPlot();
  }
}
