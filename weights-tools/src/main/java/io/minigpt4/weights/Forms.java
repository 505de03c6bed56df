package io.minigpt4.weights;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.QuantisedTensors;
import io.minigpt4.config.LlamaConfig;
import io.minigpt4.config.ModelConfig;
import io.minigpt4.model.ModelLayout;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What tensors of a checkpoint stand for: those in 8 and 4 bits for the matrices that they were
 * made of.
 */
final class Forms {
  private final Checkpoint checkpoint;

  /**
   * Elements of rows, where the settings beside the weights say it; rows in files are filled up.
   */
  private final Map<String, Long> widths = new HashMap<>();

  /**
   * @param path where the checkpoint was opened
   */
  Forms(Checkpoint checkpoint, Path path) {
    this.checkpoint = checkpoint;
    if (checkpoint.names().stream().allMatch(n -> QuantisedTensors.form(checkpoint, n) == null)) {
      return; // all is as the files say, whatever model it is
    }
    if (Weights.isModelFolder(path)) {
      ModelConfig config = ModelConfig.read(path.resolve("config.json"));
      ModelLayout.of(config, layer -> true).forEach(e -> note(e.nameInFolder(), e.dims()));
    } else if (Weights.isLlamaFolder(path)) {
      ModelLayout.llama(LlamaConfig.read(path)).forEach(e -> note(e.name(), e.dims()));
    }
  }

  private void note(String name, long[] dims) {
    widths.put(name, dims[dims.length - 1]);
  }

  /** The form of a quantised matrix; null for anything else. */
  QuantisedTensors.@Nullable Form of(String name) {
    QuantisedTensors.Form form = QuantisedTensors.form(checkpoint, name);
    if (form == null) {
      return null;
    }
    long width = Math.min(form.width(), widths.getOrDefault(name, form.width()));
    return new QuantisedTensors.Form(form.type(), form.rows(), width, form.group());
  }

  /** Type and shape. */
  String type(String name) {
    QuantisedTensors.Form form = of(name);
    if (form == null) {
      return checkpoint.dtype(name) + Arrays.toString(checkpoint.shape(name));
    }
    String shape = "[" + form.rows() + ", " + form.width() + "]";
    return form.type() == DType.Q8
        ? "8 bits" + shape + ", a scale a row"
        : "4 bits" + shape + ", groups of " + form.group();
  }

  /** Elements; of a quantised matrix those that it stands for, and none for scales. */
  long parameters(String name) {
    QuantisedTensors.Form form = of(name);
    if (form != null) {
      return form.rows() * form.width();
    }
    return QuantisedTensors.isScales(checkpoint, name)
        ? 0
        : Tensor.elements(checkpoint.shape(name));
  }
}
