package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.tensor.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * A base and a delta that were found to belong together: the same tensors of the same shapes, but
 * that embedding and head of the delta may have more rows; and differences that were taken from
 * this base.
 *
 * <p>The last is seen in the rounding. A delta is the difference of two float16 models that are
 * near each other, and such differences are float16 without rounding; so adding them to the right
 * base needs none either. Random models with deltas of 0.5 to 50 percent of the weights give 88
 * percent exact sums or more on the right base and 72 percent or less on another.
 */
final class Delta implements AutoCloseable {
  private static final Set<String> MAY_GROW = Set.of("model.embed_tokens.weight", "lm_head.weight");
  private static final double FEWEST_EXACT = 0.8;
  private static final int SAMPLES_EACH = 4;
  private static final long ENOUGH = 1000;

  private final LlamaFolder base;
  private final LlamaFolder delta;
  private final List<SumTensor> tensors = new ArrayList<>();

  /**
   * Opens both and checks them.
   *
   * @param anyway whether to take a delta whose content does not fit the base
   * @throws UserException if they do not belong together
   */
  Delta(Path basePath, Path deltaPath, boolean anyway) {
    if (same(basePath, deltaPath)) {
      // Twice a float16 needs no rounding, so that the content would not give it away.
      throw new UserException(
          basePath + " is both the base and the delta: name the delta's folder with --delta");
    }
    base = new LlamaFolder(basePath);
    try {
      delta = new LlamaFolder(deltaPath);
    } catch (RuntimeException e) {
      base.close();
      throw e;
    }
    try {
      checkConfigs();
      checkNames();
      for (String name : delta.weights().names()) {
        if (delta.names().contains(name)) {
          checkShape(name);
          tensors.add(new SumTensor(name, base.weights(), delta.weights()));
        }
      }
      if (!anyway) {
        checkContent();
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private static boolean same(Path a, Path b) {
    try {
      return Files.isSameFile(a, b);
    } catch (IOException e) {
      return false; // one that is missing is told of by whoever opens it
    }
  }

  /** The sums, in the delta's order. */
  List<SumTensor> tensors() {
    return tensors;
  }

  /** The two folders, the one that small files are taken from first. */
  List<Path> folders() {
    return List.of(delta.folder(), base.folder());
  }

  /** The delta's files with tensors, for a report of what is left out. */
  Checkpoint deltaWeights() {
    return delta.weights();
  }

  private void checkConfigs() {
    LlamaConfig a = base.config();
    LlamaConfig b = delta.config();
    compare("hidden_size", a.hiddenSize(), b.hiddenSize());
    compare("intermediate_size", a.intermediateSize(), b.intermediateSize());
    compare("num_hidden_layers", a.numHiddenLayers(), b.numHiddenLayers());
    compare("num_attention_heads", a.numAttentionHeads(), b.numAttentionHeads());
    compare("num_key_value_heads", a.numKeyValueHeads(), b.numKeyValueHeads());
  }

  private void compare(String key, int a, int b) {
    if (a != b) {
      throw apart(key + " is " + a + " in the base and " + b + " in the delta");
    }
  }

  private void checkNames() {
    for (String name : delta.names()) {
      if (!base.weights().contains(name)) {
        throw apart("'" + name + "' is only in the delta");
      }
    }
    for (String name : base.names()) {
      if (!delta.weights().contains(name)) {
        throw apart("'" + name + "' is only in the base");
      }
    }
  }

  private void checkShape(String name) {
    long[] a = base.weights().shape(name);
    long[] b = delta.weights().shape(name);
    boolean padded =
        MAY_GROW.contains(name) && a.length == 2 && b.length == 2 && a[0] < b[0] && a[1] == b[1];
    if (!Arrays.equals(a, b) && !padded) {
      throw apart(
          "'"
              + name
              + "' is "
              + Arrays.toString(a)
              + " in the base and "
              + Arrays.toString(b)
              + " in the delta");
    }
    for (Checkpoint side : List.of(base.weights(), delta.weights())) {
      if (!side.dtype(name).isFloating()) {
        throw new UserException(
            "'"
                + name
                + "' in "
                + side.source(name)
                + " is of type "
                + side.dtype(name)
                + " where a floating-point type is expected");
      }
    }
  }

  private void checkContent() {
    long exact = 0;
    long all = 0;
    for (SumTensor tensor : tensors) {
      if (tensor.shape().length < 2) {
        continue;
      }
      tensor.prepare();
      long room = tensor.sharedElements();
      for (int i = 0; i < SAMPLES_EACH; i++) {
        int n = (int) Math.min(Elements.BLOCK, room);
        long[] sums = tensor.exactSums((room - n) / SAMPLES_EACH * i, n);
        exact += sums[0];
        all += sums[1];
      }
      tensor.release();
    }
    if (all >= ENOUGH && exact < FEWEST_EXACT * all) {
      throw apart(
          String.format(
              Locale.ROOT,
              "only %.0f %% of the sums need no rounding, as if the delta were taken from another"
                  + " base, or were no delta; --force adds them anyway",
              100.0 * exact / all));
    }
  }

  private UserException apart(String reason) {
    return new UserException(
        base.folder() + " and " + delta.folder() + " do not belong together: " + reason);
  }

  @Override
  public void close() {
    base.close();
    delta.close();
  }
}
