package io.minigpt4.train;

import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.QFormerConfig;
import io.minigpt4.config.VisionConfig;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.Workspace;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Counts the model's arithmetic and the time that it takes. Counted are matrix products and
 * attention, two operations a multiplication and addition (Chowdhery et al. 2022, "PaLM", appendix
 * B): the frozen image path forwards, the language model forwards and backwards to its inputs. What
 * is computed twice to save memory counts once.
 */
final class PerformanceMeter {
  /** Iterations after which compilers and caches have warmed up. */
  private static final int WARM = 10;

  private static final double SMOOTH = 0.9;
  private static final int MOST_SIDE = 4096;
  private static final double ENOUGH_SECONDS = 0.02;
  private static final int REPEATS = 3;
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Pattern RESIDENT = Pattern.compile("VmRSS:\\s+(\\d{1,15}) kB");

  private final ProjectionTrainer trainer;
  private int iterations;
  private double secondsPerSample;
  private double peak = Double.NaN;

  PerformanceMeter(ProjectionTrainer trainer) {
    this.trainer = trainer;
  }

  /**
   * Takes note of an iteration.
   *
   * @param work its arithmetic in this process
   * @param samples of all processes together
   * @param samplesLeft of the iterations to come, of all processes together
   */
  Performance after(double work, double seconds, long samples, long samplesLeft) {
    double each = seconds / samples;
    secondsPerSample = iterations == 0 ? each : SMOOTH * secondsPerSample + (1 - SMOOTH) * each;
    if (++iterations == WARM) {
      peak = productRate(trainer.ops());
    }
    return new Performance(
        1 / each,
        1 / secondsPerSample,
        samplesLeft * secondsPerSample,
        1e-9 * work / seconds,
        work / seconds / peak,
        trainer.activationBytes(),
        residentBytes());
  }

  /** Operations of an iteration: pictures through the frozen parts, examples there and back. */
  static double work(MiniGpt4 model, int pictures, List<Example> examples) {
    double sum = pictures * picture(model.vision().config(), model.qformer().config());
    LlamaConfig llama = model.llama().config();
    double width = llama.hiddenSize();
    double keys = (double) llama.headSize() * llama.numKeyValueHeads();
    double layer = 2 * width * width + 2 * width * keys + 3 * width * llama.intermediateSize();
    double projection = (double) model.qformer().config().hiddenSize() * width;
    for (Example example : examples) {
      double rows = example.length();
      double products =
          rows * layer * llama.numHiddenLayers()
              + example.targetCount() * width * llama.vocabSize()
              + model.rowsPerImage() * projection;
      double attention = rows * rows * width * llama.numHiddenLayers();
      sum += 4 * products + 6 * attention;
    }
    return sum;
  }

  private static double picture(VisionConfig eyes, QFormerConfig qformer) {
    double tokens = eyes.numTokens();
    double width = eyes.hiddenSize();
    double patch = 3.0 * eyes.patchSize() * eyes.patchSize();
    double layer = (4 * width + 2.0 * eyes.intermediateSize()) * width + 2 * tokens * width;
    double seen = 2 * tokens * (patch * width + eyes.numHiddenLayers() * layer);
    double queries = qformer.numQueryTokens();
    double inner = qformer.hiddenSize();
    double self = (4 * inner + 2.0 * qformer.intermediateSize()) * inner + 2 * queries * inner;
    double cross = queries * (2 * inner * inner + 2 * tokens * inner) + 2 * tokens * width * inner;
    int crossLayers = (qformer.numHiddenLayers() + 1) / 2; // every second one, from the first
    return seen + 2 * (qformer.numHiddenLayers() * queries * self + crossLayers * cross);
  }

  /**
   * Operations a second of square matrix products in the type of activations: the best of growing
   * sizes, until one takes long enough to be measured well.
   */
  private static double productRate(Ops ops) {
    Workspace workspace = ops.workspace();
    double best = 0;
    double seconds = 0;
    for (int side = 256; side <= MOST_SIDE && seconds < ENOUGH_SECONDS; side *= 2) {
      long mark = workspace.mark();
      try (Arena arena = Arena.ofConfined()) {
        DType type = ops.activation();
        Tensor x = workspace.take(type, side, side);
        Tensor w = workspace.take(type, side, side);
        Tensor out = workspace.take(type, side, side);
        MemorySegment values = arena.allocate(4L * side * side, 64);
        for (long i = 0; i < (long) side * side; i++) {
          values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (i % 7 - 3));
        }
        ops.write(values, x);
        ops.write(values, w);
        seconds = Double.POSITIVE_INFINITY;
        for (int i = 0; i < REPEATS; i++) {
          long begin = System.nanoTime();
          ops.linear(x, w, null, out);
          ops.read(out.slice(0, 1), values); // waits for the device
          seconds = Math.min(seconds, (System.nanoTime() - begin) / 1e9);
        }
        best = Math.max(best, 2.0 * side * side * side / seconds);
      } finally {
        workspace.release(mark);
      }
    }
    return best;
  }

  /** Linux tells; elsewhere it is not known. */
  private static long residentBytes() {
    try {
      Matcher line = RESIDENT.matcher(Files.readString(STATUS, StandardCharsets.ISO_8859_1));
      return line.find() ? Long.parseLong(line.group(1)) << 10 : 0;
    } catch (IOException e) {
      return 0;
    }
  }
}
