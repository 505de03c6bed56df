package io.minigpt4.train;

import io.minigpt4.checkpoint.Checkpoint;
import io.minigpt4.checkpoint.Checkpoints;
import io.minigpt4.checkpoint.TorchWriter;
import io.minigpt4.tensor.DType;
import io.minigpt4.tensor.Ops;
import io.minigpt4.tensor.Tensor;
import io.minigpt4.tensor.UserException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Checkpoints as the Python version writes and reads them ({@code checkpoint_N.pth}): the
 * projection under {@code model}, AdamW's state, the configuration, the loss scale and the epoch.
 * Beside that, under {@code minigpt4_engine}, which Python ignores, is what continuing in the midst
 * of an epoch takes.
 */
public final class TrainingCheckpoint {
  private static final String OWN = "minigpt4_engine";
  private static final String STATE = "optimizer.state.";

  private TrainingCheckpoint() {}

  /**
   * Writes one, whole or not at all.
   *
   * @param epoch the last one begun, as the Python version counts
   * @param learningRate the last one used
   * @param config the run's configuration as plain maps, lists and scalars
   * @throws UserException if it cannot be written
   */
  public static void write(
      Path file,
      ProjectionTrainer trainer,
      Progress progress,
      int epoch,
      double learningRate,
      @Nullable Object config) {
    try (Arena arena = Arena.ofConfined()) {
      Ops ops = trainer.ops();
      Map<String, Object> model = new LinkedHashMap<>();
      model.put("llama_proj.weight", host(ops, trainer.weight().value(), arena));
      model.put("llama_proj.bias", host(ops, trainer.bias().value(), arena));
      Map<Integer, Object> state = new LinkedHashMap<>();
      state.put(0, state(ops, trainer.weight(), trainer.steps(), arena));
      state.put(1, state(ops, trainer.bias(), trainer.steps(), arena));
      Map<String, Object> optimizer = new LinkedHashMap<>();
      optimizer.put("state", state);
      optimizer.put(
          "param_groups",
          List.of(group(0, learningRate, trainer.weightDecay()), group(1, learningRate, 0)));
      Map<String, @Nullable Object> own = new LinkedHashMap<>();
      own.put("next_epoch", progress.epoch());
      own.put("next_iteration", progress.iteration());
      own.put("loss_sum", progress.lossSum());
      own.put("data", progress.data());
      own.put("steps", trainer.steps());
      Map<String, @Nullable Object> root = new LinkedHashMap<>();
      root.put("model", model);
      root.put("optimizer", optimizer);
      root.put("config", config);
      root.put("scaler", scaler(trainer.lossScale()));
      root.put("epoch", epoch);
      root.put(OWN, own);
      TorchWriter.write(file, root);
    }
  }

  private static Tensor host(Ops ops, Tensor tensor, Arena arena) {
    MemorySegment memory = arena.allocate(4 * tensor.elements(), 64);
    ops.read(tensor, memory);
    return Tensor.of(DType.F32, memory, tensor.shape());
  }

  private static Map<String, Object> state(
      Ops ops, ProjectionTrainer.Parameter parameter, long steps, Arena arena) {
    MemorySegment count = arena.allocate(ValueLayout.JAVA_FLOAT);
    count.set(ValueLayout.JAVA_FLOAT, 0, (float) steps);
    Map<String, Object> state = new LinkedHashMap<>();
    state.put("step", Tensor.of(DType.F32, count));
    state.put("exp_avg", host(ops, parameter.m(), arena));
    state.put("exp_avg_sq", host(ops, parameter.v(), arena));
    return state;
  }

  private static Map<String, Object> group(int parameter, double learningRate, double decay) {
    Map<String, Object> group = new LinkedHashMap<>();
    group.put("weight_decay", decay);
    group.put("lr", learningRate);
    group.put("betas", List.of(ProjectionTrainer.BETA1, ProjectionTrainer.BETA2));
    group.put("eps", ProjectionTrainer.EPSILON);
    group.put("amsgrad", false);
    group.put("maximize", false);
    group.put("capturable", false);
    group.put("differentiable", false);
    group.put("params", List.of(parameter));
    return group;
  }

  private static @Nullable Map<String, Object> scaler(LossScale scale) {
    if (!scale.enabled()) {
      return null;
    }
    Map<String, Object> state = new LinkedHashMap<>();
    state.put("scale", scale.scale());
    state.put("growth_factor", 2.0);
    state.put("backoff_factor", 0.5);
    state.put("growth_interval", 2000);
    state.put("_growth_tracker", scale.goodSteps());
    return state;
  }

  /**
   * Brings a trainer to the state in a checkpoint, of this engine or of the Python version, which
   * goes on with the epoch after the saved one. This engine's are checked against their checksums
   * first.
   *
   * @return where to go on
   * @throws UserException if the file is no training checkpoint, is for another model or is damaged
   */
  public static Progress restore(Path file, ProjectionTrainer trainer) {
    try (Checkpoint checkpoint = Checkpoints.open(file)) {
      Map<String, String> scalars = checkpoint.metadata();
      if (scalars.keySet().stream().anyMatch(key -> key.startsWith(OWN + "."))) {
        checkpoint.names().forEach(checkpoint::verify);
      }
      load(checkpoint, "llama_proj.weight", trainer, trainer.weight().value());
      load(checkpoint, "llama_proj.bias", trainer, trainer.bias().value());
      restore(checkpoint, 0, trainer, trainer.weight());
      restore(checkpoint, 1, trainer, trainer.bias());
      String steps = scalars.get(OWN + ".steps");
      trainer.restoreSteps(
          steps != null ? count(scalars, OWN + ".steps", file) : steps(checkpoint, file));
      if (scalars.containsKey("scaler.scale")) {
        trainer
            .lossScale()
            .restore(scale(scalars, file), count(scalars, "scaler._growth_tracker", file));
      }
      if (!scalars.containsKey(OWN + ".next_epoch")) {
        return new Progress(count(scalars, "epoch", file) + 1, 0, 0, null);
      }
      return new Progress(
          count(scalars, OWN + ".next_epoch", file),
          count(scalars, OWN + ".next_iteration", file),
          number(scalars, OWN + ".loss_sum", file),
          scalars.get(OWN + ".data"));
    }
  }

  private static void restore(
      Checkpoint checkpoint, int index, ProjectionTrainer trainer, ProjectionTrainer.Parameter to) {
    load(checkpoint, STATE + index + ".exp_avg", trainer, to.m());
    load(checkpoint, STATE + index + ".exp_avg_sq", trainer, to.v());
  }

  private static void load(
      Checkpoint checkpoint, String name, ProjectionTrainer trainer, Tensor to) {
    if (!checkpoint.contains(name)) {
      throw new UserException(
          checkpoint.describe()
              + " has no '"
              + name
              + "': training goes on from checkpoints of training only; to start from a projection"
              + " alone, give it as model.ckpt or --ckpt");
    }
    Tensor saved = checkpoint.require(name, to.shape());
    if (saved.dtype() == DType.F32) {
      trainer.ops().write(saved.segment(), to); // loading may round to what a device computes in
    } else {
      trainer.copyFloats(trainer.ops().load(saved), to);
    }
  }

  /** AdamW's count of steps: a number in older PyTorch, a tensor today. */
  private static long steps(Checkpoint checkpoint, Path file) {
    String name = STATE + "0.step";
    if (!checkpoint.contains(name)) {
      return count(checkpoint.metadata(), name, file);
    }
    Tensor step = checkpoint.require(name);
    if (step.dtype() != DType.F32) {
      throw new UserException("'" + name + "' in " + file + " is of type " + step.dtype());
    }
    return (long) step.segment().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 0);
  }

  private static int count(Map<String, String> scalars, String key, Path file) {
    double number = number(scalars, key, file);
    if (!(number >= 0 && number < Integer.MAX_VALUE && number == Math.rint(number))) {
      throw new UserException("'" + key + "' in " + file + " is " + number + ", which is no count");
    }
    return (int) number;
  }

  private static double scale(Map<String, String> scalars, Path file) {
    double scale = number(scalars, "scaler.scale", file);
    if (!(scale > 0 && scale <= Float.MAX_VALUE)) {
      throw new UserException(
          "'scaler.scale' in " + file + " is " + scale + ", which is no loss scale");
    }
    return scale;
  }

  private static double number(Map<String, String> scalars, String key, Path file) {
    String text = scalars.get(key);
    try {
      return Double.parseDouble(String.valueOf(text));
    } catch (NumberFormatException e) {
      throw new UserException(
          "'" + key + "' in " + file + " is " + (text == null ? "missing" : "no number"), e);
    }
  }
}
