package io.minigpt4.chat;

import io.minigpt4.generate.Generator;
import io.minigpt4.model.MiniGpt4;
import io.minigpt4.tensor.KvCache;
import io.minigpt4.tensor.UserException;

/**
 * What a {@link ChatEngine} takes on.
 *
 * @param maxRunning sequences that are computed together, at least 1; a beam counts as one
 * @param maxQueued answers that may wait for a place, at least 0
 * @param context most rows of a prompt and its answer together, at most the model's own limit
 * @param kvTokens tokens whose keys and values may be kept at a time, those of earlier prompts
 *     included; at least the context
 * @param prefillRows rows of prompts that go through the model between two tokens of the answers
 *     that are being written, at least 2
 * @param images pictures whose rows are remembered
 */
public record EngineLimits(
    int maxRunning, int maxQueued, int context, int kvTokens, int prefillRows, int images) {

  /** What keys and values take at most unless somebody says otherwise, in bytes. */
  private static final long DEFAULT_KV_BYTES = 4L << 30;

  /**
   * @throws UserException if a value is outside its range
   */
  public EngineLimits {
    require(maxRunning >= 1, "the number of running sequences", "at least 1", maxRunning);
    require(maxQueued >= 0, "the number of waiting requests", "at least 0", maxQueued);
    require(context >= 2, "the context", "at least 2", context);
    require(kvTokens >= context, "the number of cached tokens", "at least the context's", kvTokens);
    require(prefillRows >= 2, "the rows of a prefill", "at least 2", prefillRows);
    require(images >= 1, "the number of remembered images", "at least 1", images);
  }

  private static void require(boolean holds, String name, String range, int value) {
    if (!holds) {
      throw new UserException(name + " must be " + range + ", not " + value);
    }
  }

  /**
   * Limits for a model: MiniGPT-4's context, as far as the model goes; keys and values for all
   * running sequences at full length, but no more than 4 GiB unless one sequence needs more.
   */
  public static EngineLimits of(MiniGpt4 model, int maxRunning, int maxQueued) {
    int context =
        Math.min(Generator.DEFAULT_CONTEXT, model.llama().config().maxPositionEmbeddings());
    long affordable = DEFAULT_KV_BYTES / model.llama().kvBytesPerToken();
    long wanted = (long) Math.max(1, maxRunning) * roundUp(context);
    long tokens = Math.max(roundUp(context), Math.min(affordable, wanted));
    return new EngineLimits(
        maxRunning, maxQueued, context, (int) Math.min(tokens, 1 << 30), 64, 64);
  }

  private static int roundUp(int tokens) {
    int page = KvCache.Pool.PAGE;
    return (tokens + page - 1) / page * page;
  }
}
