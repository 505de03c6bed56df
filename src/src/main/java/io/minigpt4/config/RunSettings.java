package io.minigpt4.config;

import java.util.List;

/**
 * The {@code run} part of a MiniGPT-4 configuration, with the Python version's defaults.
 *
 * @param task always {@code image_text_pretrain}
 * @param lrSched always {@code linear_warmup_cosine_lr}
 * @param initLr learning rate after the warm-up
 * @param minLr learning rate at the end
 * @param warmupLr learning rate at the start
 * @param weightDecay of AdamW, on matrices
 * @param maxEpoch epochs
 * @param batchSizeTrain samples per step and device
 * @param batchSizeEval samples per evaluation step and device
 * @param numWorkers threads that prepare data
 * @param warmupSteps steps of warm-up
 * @param itersPerEpoch steps per epoch; 0 for one pass over the data
 * @param seed of everything random
 * @param outputDir where checkpoints and the log go
 * @param amp whether activations are in half precision
 * @param resumeCkptPath checkpoint to continue from; empty for none
 * @param evaluate whether to evaluate only
 * @param trainSplits splits to train on
 * @param device {@code cuda} or {@code cpu}
 * @param worldSize processes; the launcher's word counts more
 * @param distUrl how processes find each other
 * @param distributed whether there may be several
 * @param accumGradIters steps whose gradients are summed before an update
 * @param logFreq steps between lines of the log
 */
public record RunSettings(
    String task,
    String lrSched,
    double initLr,
    double minLr,
    double warmupLr,
    double weightDecay,
    int maxEpoch,
    int batchSizeTrain,
    int batchSizeEval,
    int numWorkers,
    int warmupSteps,
    int itersPerEpoch,
    int seed,
    String outputDir,
    boolean amp,
    String resumeCkptPath,
    boolean evaluate,
    List<String> trainSplits,
    String device,
    int worldSize,
    String distUrl,
    boolean distributed,
    int accumGradIters,
    int logFreq) {
  private static final double MAX_RATE = 1e3;
  private static final int MANY = Integer.MAX_VALUE;

  /** Reads them; the learning rates, epochs and batch size have no default. */
  static RunSettings of(ConfigNode node) {
    int batch = node.integer("batch_size_train", 1, MANY);
    double init = rate(node, "init_lr");
    ConfigNode splits = node.find("train_splits");
    return new RunSettings(
        only(node, "task", "image_text_pretrain"),
        only(node, "lr_sched", "linear_warmup_cosine_lr"),
        init,
        rate(node, "min_lr"),
        node.number("warmup_lr", init, 0, MAX_RATE),
        node.number("weight_decay", 0.05, 0, MAX_RATE),
        node.integer("max_epoch", 1, MANY),
        batch,
        node.integer("batch_size_eval", batch, 1, MANY),
        node.integer("num_workers", 4, 0, 4096),
        node.integer("warmup_steps", 0, 0, MANY),
        node.integer("iters_per_epoch", 0, 0, MANY),
        node.integer("seed", 42, Integer.MIN_VALUE, MANY),
        node.text("output_dir", "output"),
        node.flag("amp", false),
        node.text("resume_ckpt_path", ""),
        node.flag("evaluate", false),
        splits == null ? List.of("train") : splits.asTexts(),
        node.text("device", "cuda"),
        node.integer("world_size", 1, 1, 1 << 20),
        node.text("dist_url", "env://"),
        node.flag("distributed", false),
        node.integer("accum_grad_iters", 1, 1, MANY),
        node.integer("log_freq", 50, 1, MANY));
  }

  private static double rate(ConfigNode node, String key) {
    return node.get(key).asNumber(0, MAX_RATE);
  }

  private static String only(ConfigNode node, String key, String value) {
    if (!node.text(key, value).equals(value)) {
      throw node.get(key).unfit("'" + value + "': there is no other here");
    }
    return value;
  }
}
